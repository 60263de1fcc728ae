//! Names and ids: what is read is displayed as what is read as the same.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use strongroom::base::ids::{BackupId, PackId, SourceId, SubjectReference, VaultId};
use strongroom::base::schema::{QualifiedName, quote_identifier, split_identifiers};
use strongroom::store::ObjectName;

fuzz_target!(|text: &str| {
    comes_back::<BackupId>(text, true);
    comes_back::<ObjectName>(text, true);
    comes_back::<VaultId>(text, false);
    comes_back::<SourceId>(text, false);
    comes_back::<PackId>(text, false);
    comes_back::<SubjectReference>(text, false);
    comes_back::<QualifiedName>(text, false);
    if let Some(parts) = split_identifiers(text) {
        let quoted: Vec<_> = parts.iter().map(|part| quote_identifier(part)).collect();
        assert_eq!(split_identifiers(&quoted.join(".")).unwrap(), parts);
    }
    if let Ok(name) = text.parse::<ObjectName>() {
        assert!(!name.as_str().starts_with('/'));
        assert!(name.as_str().split('/').all(|part| !matches!(part, "" | "." | "..")));
    }
});

fn comes_back<T: FromStr + Display + PartialEq + Debug>(text: &str, exactly: bool)
where
    T::Err: Debug,
{
    let Ok(value) = text.parse::<T>() else { return };
    let shown = value.to_string();
    assert!(!exactly || shown == text);
    assert_eq!(shown.parse::<T>().unwrap(), value);
}
