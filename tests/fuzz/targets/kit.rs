//! A recovery kit, as a person types or scans it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::keys::master::kit::{for_code, read, write};

fuzz_target!(|bytes: &[u8]| {
    let Ok(kit) = read(bytes) else { return };
    // What was accepted is all in the text, digit by digit.
    let mut text = String::from_utf8(bytes.to_vec()).unwrap().to_lowercase();
    text.retain(|character| !character.is_whitespace());
    assert!(text.contains(&kit.vault.to_string()));
    for part in kit.master.expose().chunks(8) {
        let digits: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(text.contains(&digits));
    }
    let written = write(kit.vault, &kit.master);
    for text in [written.as_str(), &for_code(&written)] {
        let again = read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        assert!(again.vault == kit.vault && again.master.expose() == kit.master.expose());
    }
});
