//! The recovery kit: the master secret in a form that a person can print, keep and type again.
//!
//! ```text
//! strongroom recovery kit v1
//! vault     <32 hexadecimal digits>   check <4>
//! secret 1  <16 hexadecimal digits>   check <4>
//! secret 2, secret 3, secret 4: the same
//! all                                 check <8>
//! ```
//!
//! Digits may be large or small, in groups or not, and spaces and line breaks do not matter: a QR
//! code holds the same words in capitals, with single spaces. What stands before the first line or
//! after the last one is not read, so a whole printed page is a kit too.
//!
//! A check is the first bytes of a SHA-256 digest. It finds typing errors and names their line; it
//! protects nothing, for the secret stands beside it.

use zeroize::Zeroizing;

use crate::base::digest::sha256;
use crate::base::ids::VaultId;
use crate::keys::MasterSecret;

/// The kit's first line.
const HEAD: [&str; 4] = ["strongroom", "recovery", "kit", "v1"];
const SECRET_LINES: [&str; 4] = ["secret 1", "secret 2", "secret 3", "secret 4"];
/// How much of the secret stands in a line, in bytes.
const LINE_BYTES: usize = 8;
/// The longest text that is read, in bytes: a printed page with its code is far shorter.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// What a kit holds.
pub struct Kit {
    /// The vault.
    pub vault: VaultId,
    /// Its master secret.
    pub master: MasterSecret,
}

/// Why a text is not a recovery kit. No message holds a digit of the secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KitError {
    /// The kit's first line is not in it.
    #[error("this is no recovery kit: it lacks the line `strongroom recovery kit v1`")]
    NotAKit,
    /// The kit has another version.
    #[error("this recovery kit has the version `{found}`, and this strongroom reads `v1`")]
    Version {
        /// The version that it says it has.
        found: String,
    },
    /// A line is not as it was printed.
    #[error("the line `{line}` of the recovery kit {reason}")]
    Line {
        /// The line, by the word that it begins with.
        line: &'static str,
        /// What is wrong with it, as the rest of the sentence.
        reason: String,
    },
    /// Each line is right, but they do not belong together.
    #[error("the lines of the recovery kit do not belong together: they are of two kits")]
    Mixed,
}

/// Writes the kit's lines. The result is overwritten when dropped.
#[must_use]
pub fn write(vault: VaultId, master: &MasterSecret) -> Zeroizing<String> {
    // Reserved in full, so that growing leaves no copy of the secret behind.
    let mut text = Zeroizing::new(String::with_capacity(1024));
    text.push_str(&HEAD.join(" "));
    push_line(&mut text, "vault", &vault.0, &vault_check(vault));
    for (line, bytes) in SECRET_LINES.into_iter().zip(master.expose().chunks(LINE_BYTES)) {
        push_line(&mut text, line, bytes, &line_check(vault, line, bytes));
    }
    push_line(&mut text, "all", &[], &whole_check(vault, master.expose()));
    text.push('\n');
    text
}

fn push_line(text: &mut String, line: &str, bytes: &[u8], check: &[u8]) {
    text.push('\n');
    let begin = text.len();
    text.push_str(line);
    pad(text, begin + 9);
    for group in bytes.chunks(4) {
        text.push(' ');
        push_digits(text, group);
    }
    pad(text, begin + 48);
    text.push_str("check ");
    push_digits(text, check);
}

fn pad(text: &mut String, length: usize) {
    while text.len() < length {
        text.push(' ');
    }
}

fn push_digits(text: &mut String, bytes: &[u8]) {
    let digits = Zeroizing::new(hex::encode(bytes));
    text.push_str(&digits);
}

/// The kit's lines as the QR code holds them: capitals and single spaces, which it packs densest.
#[must_use]
pub fn for_code(lines: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(lines.len()));
    for word in lines.split_whitespace() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text.make_ascii_uppercase();
    text
}

/// Reads a kit as it was printed, typed or scanned.
///
/// # Errors
/// [`KitError`], which names the line that is wrong.
pub fn read(text: &[u8]) -> Result<Kit, KitError> {
    let text = std::str::from_utf8(text).map_err(|_| KitError::NotAKit)?;
    if text.len() > TEXT_BYTES_MAX {
        return Err(KitError::NotAKit);
    }
    let mut small = Zeroizing::new(String::with_capacity(text.len()));
    small.push_str(text);
    small.make_ascii_lowercase();
    let mut words = Words(after_head(&small)?);

    let mut vault = VaultId([0; 16]);
    words.begin("vault")?;
    words.digits("vault", &mut vault.0)?;
    words.check("vault", vault_check(vault))?;
    let mut secret = Zeroizing::new([0; 32]);
    for (line, bytes) in SECRET_LINES.into_iter().zip(secret.chunks_mut(LINE_BYTES)) {
        words.begin(line)?;
        words.digits(line, bytes)?;
        words.check(line, line_check(vault, line, bytes))?;
    }
    words.begin("all")?;
    let mut found = [0; 4];
    words.word("all", "check")?;
    words.digits("all", &mut found)?;
    if found != whole_check(vault, &secret) {
        return Err(KitError::Mixed);
    }
    let master = MasterSecret::from_slice(secret.as_slice()).ok_or(KitError::NotAKit)?;
    Ok(Kit { vault, master })
}

/// What follows the kit's first line.
fn after_head(text: &str) -> Result<&str, KitError> {
    let mut other = None;
    let mut rest = text;
    while let Some(at) = rest.find(HEAD[0]) {
        rest = &rest[at..];
        let mut words = Words(rest);
        if HEAD[..3].iter().all(|word| words.next() == Some(word)) {
            match words.next() {
                Some(version) if version == HEAD[3] => return Ok(words.0),
                Some(version) if version.starts_with('v') => other = Some(version),
                _ => {}
            }
        }
        rest = &rest[HEAD[0].len()..];
    }
    Err(match other {
        Some(found) => KitError::Version { found: found.chars().take(12).collect() },
        None => KitError::NotAKit,
    })
}

/// The words that are still to be read.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    /// The words with which a line begins.
    fn begin(&mut self, line: &'static str) -> Result<(), KitError> {
        for word in line.split(' ') {
            let here = self.0;
            if self.next() != Some(word) {
                self.0 = here;
                return Err(wrong(line, "is missing, or something else stands in its place"));
            }
        }
        Ok(())
    }

    fn word(&mut self, line: &'static str, word: &str) -> Result<(), KitError> {
        match self.next() {
            Some(found) if found == word => Ok(()),
            Some(found) if found.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                Err(wrong(line, "has too many digits"))
            }
            _ => Err(wrong(line, "breaks off, or has a word that does not belong there")),
        }
    }

    /// So many digits as fill `bytes`, in however many groups.
    fn digits(&mut self, line: &'static str, bytes: &mut [u8]) -> Result<(), KitError> {
        let wanted = bytes.len() * 2;
        let mut digits = Zeroizing::new(String::with_capacity(wanted));
        while digits.len() < wanted {
            let before = self.0;
            let word = self.next().unwrap_or_default();
            if word.is_empty() || word == "check" || word == "secret" || word == "all" {
                self.0 = before;
                return Err(wrong(line, "has too few digits"));
            }
            if let Some(other) = word.chars().find(|one| !one.is_ascii_hexdigit()) {
                let shown = other.escape_debug();
                return Err(wrong(
                    line,
                    &format!("has `{shown}` among its digits, which are 0 to 9 and a to f"),
                ));
            }
            if digits.len() + word.len() > wanted {
                return Err(wrong(line, "has too many digits"));
            }
            digits.push_str(word);
        }
        hex::decode_to_slice(digits.as_str(), bytes)
            .map_err(|_| wrong(line, "has something else than digits"))
    }

    fn check(&mut self, line: &'static str, expected: [u8; 2]) -> Result<(), KitError> {
        self.word(line, "check")?;
        let mut found = [0; 2];
        self.digits(line, &mut found)?;
        if found == expected {
            Ok(())
        } else {
            Err(wrong(line, "has a typing error: its digits and its check differ"))
        }
    }
}

fn wrong(line: &'static str, reason: &str) -> KitError {
    KitError::Line { line, reason: reason.to_owned() }
}

fn vault_check(vault: VaultId) -> [u8; 2] {
    first_bytes("vault", &[&vault.0])
}

fn line_check(vault: VaultId, line: &str, bytes: &[u8]) -> [u8; 2] {
    first_bytes(line, &[&vault.0, bytes])
}

fn whole_check(vault: VaultId, secret: &[u8; 32]) -> [u8; 4] {
    first_bytes("all", &[&vault.0, secret])
}

/// The first bytes of `SHA-256("strongroom recovery kit v1 <line>" || parts)`. A part has one length
/// for each line, so the parts need no lengths of their own.
fn first_bytes<const N: usize>(line: &str, parts: &[&[u8]]) -> [u8; N] {
    let mut message = Zeroizing::new(Vec::with_capacity(128));
    message.extend_from_slice(HEAD.join(" ").as_bytes());
    message.push(b' ');
    message.extend_from_slice(line.as_bytes());
    for part in parts {
        message.extend_from_slice(part);
    }
    let digest = sha256(&message);
    let mut first = [0; N];
    first.copy_from_slice(&digest.0[..N]);
    first
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VAULT: VaultId = VaultId([
        0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
    ]);

    fn kit(vault: [u8; 16], secret: [u8; 32]) -> String {
        write(VaultId(vault), &MasterSecret::from_slice(&secret).unwrap()).to_string()
    }

    fn refused(text: &str) -> KitError {
        match read(text.as_bytes()) {
            Err(error) => error,
            Ok(_) => panic!("accepted: {text}"),
        }
    }

    fn named(text: &str) -> &'static str {
        match refused(text) {
            KitError::Line { line, .. } => line,
            other => panic!("{other}: {text}"),
        }
    }

    /// The worked example of `docs/recovery-kit.md`.
    #[test]
    fn the_documented_kit_is_this_one() {
        let secret: Vec<u8> = (0..32).collect();
        let text = kit(VAULT.0, secret.clone().try_into().unwrap());
        let document = include_str!("../../../docs/recovery-kit.md");
        for line in text.lines() {
            assert!(document.contains(&format!("\n    {line}\n")), "{line}");
        }
        let read = read(document.as_bytes()).unwrap();
        assert_eq!((read.vault, read.master.expose().as_slice()), (VAULT, secret.as_slice()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let text = kit(VAULT.0, [7; 32]);
        let lines: Vec<&str> = text.lines().collect();
        let without = |gone: usize| {
            let mut lines = lines.clone();
            lines.remove(gone);
            lines.join("\n")
        };
        assert_eq!(refused(""), KitError::NotAKit);
        assert_eq!(refused(&without(0)), KitError::NotAKit);
        assert_eq!(refused(&text.replace("v1", "v2")), KitError::Version { found: "v2".into() });
        for (gone, line) in
            ["vault", "secret 1", "secret 2", "secret 3", "secret 4", "all"].into_iter().enumerate()
        {
            assert_eq!(named(&without(gone + 1)), line);
        }
        let mut exchanged = lines.clone();
        exchanged.swap(2, 3);
        assert_eq!(named(&exchanged.join("\n")), "secret 1");
        assert_eq!(named(&text.replacen("07070707", "0707070", 1)), "secret 1");
        assert_eq!(named(&text.replacen("07070707", "070707070", 1)), "secret 1");
        assert_eq!(named(&text.replacen("07070707  ", "07070707 07070707 ", 1)), "secret 1");
        let error = refused(&text.replacen("07070707", "O7070707", 1));
        assert!(error.to_string().contains("`secret 1`") && error.to_string().contains("`o`"));
        assert_eq!(refused(&"x".repeat(TEXT_BYTES_MAX + 1)), KitError::NotAKit);
    }

    #[test]
    fn lines_of_two_kits_do_not_mix() {
        let (old, new) = (kit(VAULT.0, [7; 32]), kit(VAULT.0, [9; 32]));
        let mut mixed: Vec<&str> = old.lines().collect();
        mixed[4] = new.lines().nth(4).unwrap();
        assert_eq!(refused(&mixed.join("\n")), KitError::Mixed);
        let other = kit([1; 16], [7; 32]);
        let mut mixed: Vec<&str> = old.lines().collect();
        mixed[4] = other.lines().nth(4).unwrap();
        assert_eq!(named(&mixed.join("\n")), "secret 3");
    }

    const ALMOST: &str =
        "(strongroom recovery kit v1 )?(vault|secret 1|check|[0-9a-f]{4,16}|[ \n]|.){0,40}";

    proptest! {
        #[test]
        fn a_kit_is_read_however_it_is_typed(
            vault in any::<[u8; 16]>(),
            secret in any::<[u8; 32]>(),
            seed in any::<u64>(),
        ) {
            let mut state = seed;
            let mut choose = |of: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) % of
            };
            let mut typed = String::from("Some words before it.\n");
            let text = kit(vault, secret);
            let printed = if choose(2) == 0 { text.clone() } else { for_code(&text).to_string() };
            for word in printed.split_whitespace() {
                let is_digits = word.len() >= 4 && word.bytes().all(|b| b.is_ascii_hexdigit());
                for one in word.chars() {
                    typed.push(if choose(2) == 0 { one.to_ascii_uppercase() } else { one });
                    if is_digits && choose(6) == 0 {
                        typed.push_str([" ", "\n", "\t", " \r\n"][usize::try_from(choose(4)).unwrap()]);
                    }
                }
                typed.push_str([" ", "\n", "\u{a0}", "\r\n\r\n"][usize::try_from(choose(4)).unwrap()]);
            }
            typed.push_str("And some after it.");
            let read = read(typed.as_bytes()).unwrap();
            prop_assert_eq!(read.vault, VaultId(vault));
            prop_assert_eq!(read.master.expose(), &secret);
        }

        #[test]
        fn one_wrong_digit_is_found_and_its_line_named(
            secret in any::<[u8; 32]>(),
            place in 0_usize..200,
            to in 0_u32..16,
        ) {
            let text = kit(VAULT.0, secret);
            let begin = text.find("secret 1").unwrap();
            let mut characters: Vec<char> = text.chars().collect();
            let is_digit = |at: usize| {
                let word = text[..at].rsplit(char::is_whitespace).next().unwrap_or_default().len();
                let whole = text[at - word..].split_whitespace().next().unwrap_or_default();
                whole.len() >= 4 && whole.bytes().all(|byte| byte.is_ascii_hexdigit())
            };
            let places: Vec<usize> = (begin..text.len()).filter(|at| is_digit(*at)).collect();
            let at = places[place % places.len()];
            let other = char::from_digit(to, 16).unwrap();
            prop_assume!(characters[at] != other);
            characters[at] = other;
            let line = text[..at].lines().last().unwrap().to_owned();
            let changed: String = characters.into_iter().collect();
            match refused(&changed) {
                KitError::Line { line: named, .. } => prop_assert!(line.starts_with(named)),
                // The last line's check is of all lines; a line's own misses 1 error in 65,536.
                other => prop_assert_eq!(other, KitError::Mixed),
            }
        }

        #[test]
        fn nothing_makes_it_panic(text in ALMOST) {
            let _ = read(text.as_bytes());
        }
    }
}
