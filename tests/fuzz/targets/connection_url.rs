//! A source's URL: sealed in the catalog, and a person's before that. The password never shows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::postgres::ConnectionSettings;

/// Stands in every input where a password can stand.
const PASSWORD: &str = "hunter2hunter2";

fuzz_target!(|text: &str| {
    let _ = ConnectionSettings::parse_with(text, &|_| None);
    let environment = |name: &str| (name == "PGPASSWORD").then(|| PASSWORD.to_owned());
    if text.contains(PASSWORD) {
        return;
    }
    match ConnectionSettings::parse_with(text, &environment) {
        Ok(settings) => {
            assert!(!settings.redacted().contains(PASSWORD));
            assert!(!format!("{settings:?}").contains(PASSWORD));
        }
        Err(error) => assert!(!error.to_string().contains(PASSWORD)),
    }
});
