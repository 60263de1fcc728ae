//! Words that people type for the vault's record (reasons, notes): whether they look as if they named
//! somebody. What is written there stays when she is forgotten.

/// Why a text looks as if it held personal data, as the end of "it ...". `keys` are the keys of the
/// people concerned. It cannot know; whoever typed it can insist.
#[must_use]
pub fn looks_personal(text: &str, keys: &[&str]) -> Option<&'static str> {
    let words: Vec<&str> = text.split_whitespace().map(trimmed).collect();
    if words.iter().any(|word| is_email(word)) {
        return Some("holds what looks like an e-mail address");
    }
    if words.iter().any(|word| keys.iter().any(|key| key.chars().count() > 2 && word == key)) {
        return Some("holds the key of a person who is to be erased");
    }
    if words.iter().any(|word| is_iban(word)) || is_telephone(text) {
        return Some("holds what looks like a telephone or account number");
    }
    if words.windows(2).any(|pair| pair.iter().all(|word| is_name(word))) {
        return Some("holds what looks like a name");
    }
    None
}

/// A word without the punctuation around it.
fn trimmed(word: &str) -> &str {
    word.trim_matches(|character: char| !character.is_alphanumeric() && character != '+')
}

fn is_email(word: &str) -> bool {
    word.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && domain.contains('.') && !domain.starts_with('.')
    })
}

/// Two capital letters, two digits, and at least eleven of either.
fn is_iban(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 15
        && bytes[..2].iter().all(u8::is_ascii_uppercase)
        && bytes[2..4].iter().all(u8::is_ascii_digit)
        && bytes[4..].iter().all(u8::is_ascii_alphanumeric)
}

/// A plus or two zeros, and at least eight digits with nothing but spaces and `-/()` between.
fn is_telephone(text: &str) -> bool {
    let begins = text.match_indices('+').map(|(at, _)| at + 1);
    let begins = begins.chain(text.match_indices("00").map(|(at, _)| at + 2).filter(|at| {
        text[..at - 2].chars().next_back().is_none_or(|before| !before.is_alphanumeric())
    }));
    begins.into_iter().any(|at| {
        let number = text[at..].chars().take_while(|c| c.is_ascii_digit() || " -/()".contains(*c));
        number.filter(char::is_ascii_digit).count() >= 8
    })
}

/// A capital letter and at least two small ones, as names are written; parts joined by hyphens too.
fn is_name(word: &str) -> bool {
    word.split('-').all(|part| {
        let mut characters = part.chars();
        characters.next().is_some_and(char::is_uppercase)
            && part.chars().count() > 2
            && characters.all(|one| one.is_lowercase() || one == '\'')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_somebody_is_found_and_case_numbers_are_not() {
        for personal in [
            "ana.lopez@example.org asked",
            "request of <ana@example.org>",
            "Anna Keller asked",
            "asked by: Anna Keller-Meier.",
            "called from +49 170 123 4567",
            "called from 0049-170-1234567",
            "account DE89370400440532013000",
            "customer 48211",
            "user u-7f3a, by letter",
        ] {
            assert!(looks_personal(personal, &["48211", "u-7f3a"]).is_some(), "{personal}");
        }
        for fine in [
            "2026-118",
            "request 2026-118 of 3 November",
            "GDPR Art. 17, request 2026-118/4",
            "Article 17(1)(b)",
            "Request by letter, case 48211-2",
            "case 7",
            "1000000000 rows",
            "",
        ] {
            assert_eq!(looks_personal(fine, &["48211", "7"]), None, "{fine}");
        }
    }
}
