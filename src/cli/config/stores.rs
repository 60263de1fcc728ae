//! The stores of a configuration: one section `[store]`, or an ordered list of sections `[[store]]`.

use std::path::Path;

use super::reader::Section;
use super::{ConfigError, quoted};
use crate::vault::settings::{DEFAULT_NAME, StoreSettings};

/// How long a name may be.
const NAME_BYTES_MAX: usize = 31;

/// Reads the stores. A single `[store]` is named `main` and takes every class.
///
/// # Errors
/// `MissingKey`, `UnknownKey` or `BadValue`.
pub(super) fn read(root: &Section<'_>, folder: &Path) -> Result<Vec<StoreSettings>, ConfigError> {
    if !root.is_list("store") {
        let store = root.section("store", &["url"])?;
        let url = store.required("url", store.text("url")?)?;
        return Ok(vec![StoreSettings::main(absolute_place(folder, url))]);
    }
    let mut stores: Vec<StoreSettings> = Vec::new();
    for section in root.sections("store", &["name", "url", "classes"])? {
        let name = section.required("name", section.text("name")?)?;
        if !is_name(&name) {
            let expected = "1 to 31 lower-case letters, digits and hyphens";
            return Err(section.bad_value("name", expected));
        }
        if stores.iter().any(|one| one.name == name) {
            return Err(section.bad_value("name", "another name for each store"));
        }
        let url = section.required("url", section.text("url")?)?;
        let mut classes = Vec::new();
        for class in section.texts("classes")?.unwrap_or_default() {
            let known = "a list of `daily`, `weekly`, `pre-migration` and `manual`";
            classes.push(class.parse().map_err(|_| section.bad_value("classes", known))?);
        }
        stores.push(StoreSettings { name, url: absolute_place(folder, url), classes });
    }
    if stores.is_empty() {
        return Err(root.missing("store"));
    }
    Ok(stores)
}

/// Whether a store can have that name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(letter)
}

/// A store's path made absolute; a URL stays as it is.
fn absolute_place(folder: &Path, place: String) -> String {
    if place.contains("://") { place } else { folder.join(place).display().to_string() }
}

/// The sections, with a comment for every key.
pub(super) fn to_toml(stores: &[StoreSettings]) -> String {
    if let [only] = stores
        && only.name == DEFAULT_NAME
        && only.classes.is_empty()
    {
        return format!(
            "[store]\n\
             # Where the backups are: a directory, or a URL (file://, s3://).\n\
             url = {}\n",
            quoted(&only.url)
        );
    }
    let mut text = String::from(
        "# Where the backups are, the nearest first: each store a directory or a URL (file://,\n\
         # s3://), and the classes of backups that go there; all, if it names none.\n",
    );
    for store in stores {
        text.push_str(&format!(
            "[[store]]\nname = {}\nurl = {}\n",
            quoted(&store.name),
            quoted(&store.url)
        ));
        if !store.classes.is_empty() {
            let classes: Vec<_> = store.classes.iter().map(|one| quoted(one.as_str())).collect();
            text.push_str(&format!("classes = [{}]\n", classes.join(", ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigError};
    use super::*;
    use crate::catalog::backups::BackupClass;

    const CUSTODIAN: &str = "[[custodian]]\nkind = 'file'\npath = 'c'\n";

    fn stores(text: &str) -> Result<Vec<StoreSettings>, ConfigError> {
        let text = format!("{text}\n{CUSTODIAN}");
        Config::from_toml(Path::new("/etc/vault/strongroom.toml"), &text).map(|one| one.stores)
    }

    #[test]
    fn several_stores_are_read_in_their_order_and_written_back() {
        let read = stores(
            "[[store]]\nname = 'local'\nurl = 'b'\nclasses = ['daily', 'weekly']\n\
             [[store]]\nname = 'far'\nurl = 's3://bucket/x'\n",
        )
        .unwrap();
        assert_eq!((read[0].name.as_str(), read[0].url.as_str()), ("local", "/etc/vault/b"));
        assert!(read[0].takes(BackupClass::Weekly) && !read[0].takes(BackupClass::Manual));
        assert_eq!(read[1].url, "s3://bucket/x");
        assert!(read[1].takes(BackupClass::Manual));
        assert_eq!(stores(&to_toml(&read)).unwrap(), read);
    }

    #[test]
    fn one_section_is_the_store_main() {
        let read = stores("[store]\nurl = 'b'\n").unwrap();
        assert_eq!(read, [StoreSettings::main("/etc/vault/b")]);
        assert!(to_toml(&read).starts_with("[store]\n"));
    }

    #[test]
    fn what_cannot_be_right_is_named_with_its_line() {
        for (text, says) in [
            ("[[store]]\nurl = 'b'", "`store.name` is missing"),
            ("[[store]]\nname = 'A'\nurl = 'b'", "line 2: `store.name` must be 1 to 31"),
            ("[[store]]\nname = 'a'", "`store.url` is missing"),
            ("[[store]]\nname = 'a'\nurl = 'b'\nclasses = ['hourly']", "`store.classes` must be"),
            (
                "[[store]]\nname = 'a'\nurl = 'b'\n[[store]]\nname = 'a'\nurl = 'c'",
                "line 5: `store.name` must be another name",
            ),
            ("store = []", "`store` is missing"),
        ] {
            let told = stores(text).unwrap_err().to_string();
            assert!(told.contains(says), "{told}");
        }
    }
}
