//! Asking a person: passphrases, and confirmation of what cannot be undone.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::error::CliError;
use super::exit::Exit;

/// The longest passphrase file that is read, in bytes.
const PASSPHRASE_FILE_BYTES_MAX: u64 = 4096;
/// How long a new passphrase should be at least, in characters.
const PASSPHRASE_CHARACTERS_GOOD: usize = 12;
/// How many different ones it should have.
const PASSPHRASE_DIFFERENT_GOOD: usize = 6;

/// Lets a person type `expected` before something that cannot be undone.
///
/// # Errors
/// `Refused` when something else is typed, or nobody can type.
pub fn confirm_by_typing(question: &str, expected: &str) -> Result<(), CliError> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(CliError::new(
            Exit::Refused,
            "it was not confirmed, for standard input is no terminal; nothing was changed",
        )
        .hint("run it in a terminal and type the words, or add --yes to confirm it here"));
    }
    confirm_from(stdin.lock(), io::stderr().lock(), question, expected)
}

fn confirm_from(
    mut input: impl BufRead,
    mut output: impl Write,
    question: &str,
    expected: &str,
) -> Result<(), CliError> {
    let mut ask = || {
        write!(output, "{question}\nType `{expected}` to go on: ")?;
        output.flush()?;
        let mut typed = String::new();
        input.read_line(&mut typed)?;
        Ok(typed)
    };
    let typed: String =
        ask().map_err(|error: io::Error| CliError::from_error(Exit::Internal, &error))?;
    if typed.trim() == expected {
        Ok(())
    } else {
        Err(CliError::new(Exit::Refused, "it was not confirmed; nothing was changed")
            .hint("run it again and type exactly what is asked for"))
    }
}

/// Asks for the vault's passphrase, unseen.
///
/// # Errors
/// `Identity` when nobody can type it.
pub fn passphrase(question: &str) -> Result<Zeroizing<String>, CliError> {
    let missing = || {
        CliError::new(Exit::Identity, "a passphrase is needed, and there is no terminal to ask on")
            .hint(
                "give a file with --passphrase-file, or an identity with --identity; both can be \
                 set in the configuration file",
            )
    };
    if !io::stdin().is_terminal() {
        return Err(missing());
    }
    rpassword::prompt_password(format!("{question}: ")).map(Zeroizing::new).map_err(|_| missing())
}

/// Asks for a new passphrase, twice.
///
/// # Errors
/// As [`passphrase`]; `Usage` when the two differ.
pub fn new_passphrase(question: &str) -> Result<Zeroizing<String>, CliError> {
    let first = passphrase(question)?;
    let second = passphrase("The same again")?;
    if *first == *second {
        Ok(first)
    } else {
        Err(CliError::new(Exit::Usage, "the two passphrases differ")
            .hint("run it again and type the same twice"))
    }
}

/// Why a new passphrase is easy to guess, as the end of "the passphrase …".
#[must_use]
pub fn weakness(passphrase: &str) -> Option<String> {
    let different: BTreeSet<char> = passphrase.chars().collect();
    if passphrase.chars().count() < PASSPHRASE_CHARACTERS_GOOD {
        Some(format!("is shorter than {PASSPHRASE_CHARACTERS_GOOD} characters"))
    } else if different.len() < PASSPHRASE_DIFFERENT_GOOD {
        Some(format!("has fewer than {PASSPHRASE_DIFFERENT_GOOD} different characters"))
    } else {
        None
    }
}

/// Refuses a new passphrase that is easy to guess, unless somebody insists.
///
/// # Errors
/// `Refused`.
pub fn refuse_weak(passphrase: &str, insists: bool) -> Result<(), CliError> {
    match weakness(passphrase).filter(|_| !insists) {
        None => Ok(()),
        Some(why) => Err(CliError::new(
            Exit::Refused,
            format!("the passphrase {why}, so that whoever copies the master secret may guess it"),
        )
        .hint("five or six random words are good and easy; --weak takes this one all the same")),
    }
}

/// Reads a passphrase from a file: its first line.
///
/// # Errors
/// `Identity` when the file cannot be read, is empty, too long or not UTF-8.
pub fn passphrase_file(path: &Path) -> Result<Zeroizing<String>, CliError> {
    let refuse = |reason: &str| {
        let message = format!("cannot read a passphrase from {}: {reason}", path.display());
        CliError::new(Exit::Identity, message)
            .hint("the file's first line is the passphrase; check --passphrase-file")
    };
    // Room for all of it at once: growing would leave pieces behind in memory.
    let mut text = Zeroizing::new(String::with_capacity(4096 + 1));
    File::open(path)
        .and_then(|file| file.take(PASSPHRASE_FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| refuse(&error.to_string()))?;
    if text.len() as u64 > PASSPHRASE_FILE_BYTES_MAX {
        return Err(refuse("it is longer than 4,096 bytes"));
    }
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Zeroizing::new(line.to_owned())),
        _ => Err(refuse("its first line is empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Result<(), CliError> {
        confirm_from(text.as_bytes(), Vec::new(), "Forget one person?", "erase 7")
    }

    #[test]
    fn only_the_exact_words_confirm() {
        typed("erase 7\n").unwrap();
        for other in ["", "\n", "y\n", "yes\n", "erase 8\n"] {
            assert_eq!(typed(other).unwrap_err().exit(), Exit::Refused, "{other:?}");
        }
    }

    #[test]
    fn a_passphrase_file_is_its_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        let read = |contents: &[u8]| {
            std::fs::write(&path, contents).unwrap();
            passphrase_file(&path)
        };
        assert_eq!(*read(b"correct horse\r\nsecond").unwrap(), "correct horse");
        assert_eq!(*read(b" spaces stay ").unwrap(), " spaces stay ");
        for wrong in [&b""[..], b"\nx", b"\xff\xfe", &[b'x'; 5000]] {
            assert_eq!(read(wrong).unwrap_err().exit(), Exit::Identity);
        }
        assert_eq!(passphrase_file(folder.path()).unwrap_err().exit(), Exit::Identity);
    }

    #[test]
    fn a_weak_new_passphrase_is_refused_without_being_repeated() {
        for weak in ["x", "hunter2", "aaaaaaaaaaaaaaaa", "abababababababab"] {
            let refused = refuse_weak(weak, false).unwrap_err();
            assert_eq!(refused.exit(), Exit::Refused);
            assert!(weak.len() < 2 || !refused.message().contains(weak), "{}", refused.message());
            refuse_weak(weak, true).unwrap();
        }
        refuse_weak("twelve chars", false).unwrap();
    }
}
