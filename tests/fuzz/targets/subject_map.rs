//! A subject map's file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::policy::subject_map::SubjectMap;
use strongroom_fuzz::empty_schema;

fuzz_target!(|text: &str| {
    let Ok(map) = SubjectMap::from_toml(text) else { return };
    // Written for a database without its tables, it is read as the same map.
    let written = map.to_toml(&empty_schema());
    let again =
        SubjectMap::from_toml(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
    assert_eq!(again, map, "{written}");
});
