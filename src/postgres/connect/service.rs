//! libpq's service files: named sets of connection parameters.
//! Source: PostgreSQL's documentation, "The Connection Service File".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::postgres::error::PostgresError;
use crate::postgres::error::invalid;

/// The file's name in a user's home.
const USER_FILE: &str = ".pg_service.conf";
/// And in the folder of the system's settings.
const SYSTEM_FILE: &str = "pg_service.conf";
/// That folder, where `PGSYSCONFDIR` names no other: Debian's, then PostgreSQL's own.
const SYSTEM_FOLDERS: [&str; 2] = ["/etc/postgresql-common", "/usr/local/pgsql/etc"];

/// The parameters of a service: of the user's file, else of the system's.
pub(in crate::postgres) fn parameters(
    service: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, PostgresError> {
    let named = environment("PGSERVICEFILE").map(PathBuf::from);
    let user =
        named.clone().or_else(|| environment("HOME").map(|home| Path::new(&home).join(USER_FILE)));
    let folders = match environment("PGSYSCONFDIR") {
        Some(folder) => vec![PathBuf::from(folder)],
        None => SYSTEM_FOLDERS.map(PathBuf::from).into(),
    };
    let system = folders.into_iter().map(|folder| folder.join(SYSTEM_FILE));
    let files: Vec<PathBuf> = user.into_iter().chain(system).collect();
    for file in &files {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            // One that was named must be there.
            Err(error) if named.as_ref() == Some(file) => {
                let shown = file.display();
                return Err(invalid(format!("the service file {shown} cannot be read: {error}")));
            }
            Err(_) => continue,
        };
        if let Some(found) = section(&text, service, file)? {
            return Ok(found);
        }
    }
    let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    Err(invalid(format!("no service of that name is in {}", files.join(" or "))))
}

/// The parameters under `[service]`, if the file has it.
fn section(
    text: &str,
    service: &str,
    file: &Path,
) -> Result<Option<BTreeMap<String, String>>, PostgresError> {
    let mut found: Option<BTreeMap<String, String>> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            if found.is_some() {
                break;
            }
            if name == service {
                found = Some(BTreeMap::new());
            }
            continue;
        }
        let Some(parameters) = &mut found else { continue };
        let wrong = |what: &str| {
            Err(invalid(format!("line {number} of the service file {}: {what}", file.display())))
        };
        if line.starts_with("ldap") {
            return wrong("a service in LDAP is not supported");
        }
        let Some((name, value)) = line.split_once('=') else { return wrong("it has no `=`") };
        if name.trim() == "service" {
            return wrong("a service cannot name another");
        }
        // The first counts, as in libpq.
        parameters.entry(name.trim().to_owned()).or_insert_with(|| value.trim().to_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_file_comes_before_the_systems() {
        let home = tempfile::tempdir().unwrap();
        let system = tempfile::tempdir().unwrap();
        let user = "# c\n[one]\nhost=h\nport = 5433\nhost=second\n[two]\nhost=x\n";
        std::fs::write(home.path().join(USER_FILE), user).unwrap();
        std::fs::write(system.path().join(SYSTEM_FILE), "[one]\nhost=s\n[three]\nhost=t\n")
            .unwrap();
        let environment = |name: &str| match name {
            "HOME" => Some(home.path().display().to_string()),
            "PGSYSCONFDIR" => Some(system.path().display().to_string()),
            _ => None,
        };
        let one = parameters("one", &environment).unwrap();
        assert_eq!((one["host"].as_str(), one["port"].as_str()), ("h", "5433"));
        assert_eq!(parameters("three", &environment).unwrap()["host"], "t");
        assert!(parameters("four", &environment).is_err());
        let missing = |name: &str| (name == "PGSERVICEFILE").then(|| "/no/such".to_owned());
        assert!(parameters("one", &missing).unwrap_err().to_string().contains("/no/such"));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line() {
        let told = |text: &str| section(text, "a", Path::new("f")).unwrap_err().to_string();
        assert!(told("[a]\nldap://x").contains("line 2"));
        assert!(told("[a]\nhost").contains("no `=`"));
        assert!(told("[a]\nservice=b").contains("cannot name another"));
        assert_eq!(section("[b]\nnonsense\n", "a", Path::new("f")).unwrap(), None);
    }
}
