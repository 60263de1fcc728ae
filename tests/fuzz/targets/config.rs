//! `strongroom.toml`: what is read is written and read again as the same.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use strongroom::cli::config::Config;

fuzz_target!(|text: &str| {
    let file = Path::new("/vault/strongroom.toml");
    match Config::from_toml(file, text) {
        Ok(config) => {
            let written = config.to_toml();
            let again = Config::from_toml(file, &written)
                .unwrap_or_else(|error| panic!("{error}\n{written}"));
            assert_eq!(again, config, "{written}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
