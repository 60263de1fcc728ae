//! From what the configuration says to a store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directory::DirectoryStore;
use super::s3::S3Store;
use super::url::{percent_decoded, scheme_of, without_credentials};
use super::{Capabilities, Store, StoreError};

/// Where one-sentence warnings go that do not end a command.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

fn nobody() -> Tell {
    Arc::new(|_| {})
}

/// Opens a store that is there: a directory's path, its `file://` URL, or an `s3://` URL.
///
/// # Errors
/// `Unsupported` for what this version has no store for; `Unreachable` when no directory is there.
/// A bucket is first asked for when it is first used.
pub fn open(place: &str) -> Result<Arc<dyn Store>, StoreError> {
    open_knowing(place, None)
}

/// Opens a store of which an earlier [`super::probe`] told what it can do.
///
/// # Errors
/// As [`open`].
pub fn open_knowing(
    place: &str,
    known: Option<&Capabilities>,
) -> Result<Arc<dyn Store>, StoreError> {
    open_telling(place, known, nobody())
}

/// The same, with somebody to tell that a service is waited for.
///
/// # Errors
/// As [`open`].
pub fn open_telling(
    place: &str,
    known: Option<&Capabilities>,
    tell: Tell,
) -> Result<Arc<dyn Store>, StoreError> {
    #[cfg(debug_assertions)]
    if let Some(store) = super::faulty::standing_in(place) {
        return Ok(store);
    }
    let store: Arc<dyn Store> = if let Some(rest) = s3_of(place) {
        let store = S3Store::open(place, rest, tell)?;
        if let Some(known) = known {
            store.adopt(known);
        }
        Arc::new(store)
    } else {
        Arc::new(DirectoryStore::open(&directory_of(place)?)?)
    };
    with_faults(store)
}

/// Makes a store (a directory with its parents, mode 0700) and opens it. One that is there already
/// is opened as it is. A bucket is never made here: its owner decides where it is and what it keeps.
///
/// # Errors
/// As [`open`]; `NotWritable`, `Full` or `Io` when it cannot be made.
pub fn create(place: &str) -> Result<Arc<dyn Store>, StoreError> {
    create_telling(place, nobody())
}

/// The same, with somebody to tell that a service is waited for.
///
/// # Errors
/// As [`create`].
pub fn create_telling(place: &str, tell: Tell) -> Result<Arc<dyn Store>, StoreError> {
    if s3_of(place).is_none() {
        DirectoryStore::create(&directory_of(place)?)?;
    }
    open_telling(place, None, tell)
}

/// The folder of a store that is a directory; nothing for any other place.
#[must_use]
pub fn folder_of(place: &str) -> Option<PathBuf> {
    if s3_of(place).is_some() { None } else { directory_of(place).ok() }
}

/// In debug builds, wraps the store in the faults that the environment asks for.
#[cfg(debug_assertions)]
fn with_faults(store: Arc<dyn Store>) -> Result<Arc<dyn Store>, StoreError> {
    super::faulty::from_environment(store)
}

#[cfg(not(debug_assertions))]
#[allow(clippy::unnecessary_wraps, reason = "debug builds can refuse")]
fn with_faults(store: Arc<dyn Store>) -> Result<Arc<dyn Store>, StoreError> {
    Ok(store)
}

/// Whether the place is at a service. Services differ, and each is probed before it is used.
#[must_use]
pub fn is_service(place: &str) -> bool {
    s3_of(place).is_some()
}

fn s3_of(place: &str) -> Option<&str> {
    let (scheme, rest) = scheme_of(place)?;
    scheme.eq_ignore_ascii_case("s3").then_some(rest)
}

fn directory_of(place: &str) -> Result<PathBuf, StoreError> {
    let refuse = |reason: &str| {
        Err(StoreError::Unsupported {
            location: without_credentials(place),
            reason: reason.to_owned(),
        })
    };
    if place.is_empty() {
        return refuse("its name is empty");
    }
    let Some((scheme, rest)) = scheme_of(place) else {
        return Ok(Path::new(place).to_path_buf());
    };
    match scheme.to_ascii_lowercase().as_str() {
        "file" => {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            if !path.starts_with('/') {
                return refuse("a file:// URL must hold an absolute path, as in file:///backups");
            }
            match percent_decoded(path) {
                Some(path) => Ok(PathBuf::from(path)),
                None => refuse("its percent-encoding is wrong"),
            }
        }
        _ => refuse("only a directory's path, a file:// URL and an s3:// URL are known"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(place: &str) -> String {
        directory_of(place).unwrap_err().to_string()
    }

    #[test]
    fn paths_and_file_urls_are_directories() {
        assert_eq!(directory_of("backups/a b").unwrap(), Path::new("backups/a b"));
        assert_eq!(directory_of("file:///mnt/a%20b").unwrap(), Path::new("/mnt/a b"));
        assert_eq!(directory_of("file://localhost/mnt").unwrap(), Path::new("/mnt"));
        assert_eq!(directory_of("a:b").unwrap(), Path::new("a:b"));
    }

    #[test]
    fn other_places_are_refused_without_their_credentials() {
        assert_eq!(
            open("s3://key:secret@bucket/prefix?token=1").err().unwrap().to_string(),
            "cannot open the store s3://bucket/prefix: credentials do not belong into a URL; name a \
             profile instead"
        );
        assert!(refusal("ftp://a").contains("only a directory's path"));
        assert!(refusal("file://host/mnt").contains("absolute path"));
        assert!(refusal("file:///%zz").contains("percent-encoding"));
        assert!(refusal("").contains("empty"));
    }

    #[test]
    fn only_create_makes_a_directory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/store");
        let place = path.to_str().unwrap();
        assert!(matches!(open(place), Err(StoreError::Unreachable { .. })));
        assert_eq!(create(place).unwrap().location(), place);
        assert_eq!(open(place).unwrap().location(), place);
        std::fs::write(path.join("file"), b"").unwrap();
        assert!(open(path.join("file").to_str().unwrap()).is_err());
    }
}
