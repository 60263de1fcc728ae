//! The parts of a store's URL.

/// `scheme://rest`, if the text has that form (RFC 3986, section 3.1).
pub(super) fn scheme_of(place: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = place.split_once("://")?;
    let named = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    named.then_some((scheme, rest))
}

/// The place without what may stand before an `@` or after a `?`.
pub(super) fn without_credentials(place: &str) -> String {
    let Some((scheme, rest)) = scheme_of(place) else {
        return place.to_owned();
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{rest}")
}

/// The text with every `%41` made one byte; nothing if that is no UTF-8, or holds a NUL.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let mut byte = [0];
            hex::decode_to_slice(after.get(..2)?, &mut byte).ok()?;
            bytes.push(byte[0]);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}
