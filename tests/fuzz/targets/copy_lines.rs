//! COPY's text: lines cut into chunks at any place, owners, escapes, composite keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::postgres::rows::lines::{Lines, composite_key, key_parts, split_owner, unescape};

fuzz_target!(|bytes: &[u8]| {
    let Some((&size, text)) = bytes.split_first() else { return };
    let mut lines = Lines::new();
    let mut joined = Vec::new();
    for chunk in text.chunks(usize::from(size).max(1)) {
        lines.push(chunk.to_vec().into());
        while let Some(line) = lines.next_line() {
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert_eq!(line.last(), Some(&b'\n'));
            joined.extend_from_slice(&line);
            let (key, rest) = split_owner(&line);
            assert!(line.ends_with(rest));
            assert_eq!(rest.last(), Some(&b'\n'));
            if let Some(key) = key {
                assert!(key.len() <= line.len() - rest.len());
                check_key(&key);
            }
        }
    }
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    assert_eq!(joined, text[..whole]);
    assert_eq!(lines.is_complete(), whole == text.len());
    assert!(unescape(text).len() <= text.len());
    check_key(text);
});

fn check_key(key: &[u8]) {
    let Ok(key) = std::str::from_utf8(key) else { return };
    for count in 1..4 {
        if let Some(parts) = key_parts(key, count) {
            assert_eq!(parts.len(), count);
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let canonical = composite_key(&parts);
            assert_eq!(key_parts(&canonical, count).unwrap(), parts);
        }
    }
}
