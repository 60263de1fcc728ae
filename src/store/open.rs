//! From what the configuration says to a store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directory::DirectoryStore;
use super::{Store, StoreError};

/// Opens a store that is there: a directory's path, or its `file://` URL.
///
/// # Errors
/// `Unsupported` for what this version has no store for; `Unreachable` when nothing is there.
pub fn open(place: &str) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(DirectoryStore::open(&directory_of(place)?)?))
}

/// Makes a store (a directory with its parents, mode 0700) and opens it. One that is there already
/// is opened as it is.
///
/// # Errors
/// As [`open`]; `NotWritable`, `Full` or `Io` when it cannot be made.
pub fn create(place: &str) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(DirectoryStore::create(&directory_of(place)?)?))
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
        "s3" => refuse("S3 is not in this version; give a directory"),
        _ => refuse("only a directory's path or a file:// URL is known"),
    }
}

/// `scheme://rest`, if the text has that form (RFC 3986, section 3.1).
fn scheme_of(place: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = place.split_once("://")?;
    let named = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    named.then_some((scheme, rest))
}

/// The place without what may stand before an `@` or after a `?`.
fn without_credentials(place: &str) -> String {
    let Some((scheme, rest)) = scheme_of(place) else {
        return place.to_owned();
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{rest}")
}

fn percent_decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
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
    String::from_utf8(bytes).ok().filter(|path| !path.contains('\0'))
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
            refusal("s3://key:secret@bucket/prefix?token=1"),
            "cannot open the store s3://bucket/prefix: S3 is not in this version; give a directory"
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
