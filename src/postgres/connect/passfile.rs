//! libpq's password file: lines of `host:port:database:user:password`.
//! Source: PostgreSQL's documentation, "The Password File".

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::url::Endpoint;

/// Where the password file is: as given, else `~/.pgpass`.
pub(in crate::postgres) fn path(
    given: Option<String>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<PathBuf> {
    given
        .map(PathBuf::from)
        .or_else(|| environment("HOME").map(|home| Path::new(&home).join(".pgpass")))
}

/// What psql says of a file that it ignores.
pub(in crate::postgres) fn warning(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    let shown = path.display();
    if !metadata.is_file() {
        return Some(format!("the password file {shown} is not a plain file, and so is not read"));
    }
    (metadata.permissions().mode() & 0o077 != 0).then(|| {
        format!(
            "the password file {shown} can be read by others, and so is not read; `chmod 600` \
             makes it yours alone"
        )
    })
}

/// The password of the first line that fits. As in libpq, a file that others may read is ignored.
pub(in crate::postgres) fn password(
    path: &Path,
    endpoint: &Endpoint,
    database: &str,
    user: &str,
) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o077 != 0 {
        return None;
    }
    let contents = Zeroizing::new(std::fs::read_to_string(path).ok()?);
    contents
        .lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| matching(line, endpoint, database, user))
}

fn matching(line: &str, endpoint: &Endpoint, database: &str, user: &str) -> Option<String> {
    let fields = fields(line)?;
    let [host, port, wanted_database, wanted_user, password] = fields;
    let fits = |pattern: &str, value: &str| pattern == "*" || pattern == value;
    // The default socket's lines are written with `localhost`.
    let host_fits = fits(&host, &endpoint.host)
        || (host == "localhost"
            && ["/var/run/postgresql", "/tmp"].contains(&endpoint.host.as_str()));
    let all_fit = host_fits
        && fits(&port, &endpoint.port.to_string())
        && fits(&wanted_database, database)
        && fits(&wanted_user, user);
    all_fit.then_some(password)
}

/// Splits at `:`; a backslash takes the next character as it is. The last field runs to the end.
fn fields(line: &str) -> Option<[String; 5]> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => fields.last_mut()?.extend(characters.next()),
            ':' if fields.len() < 5 => fields.push(String::new()),
            other => fields.last_mut()?.push(other),
        }
    }
    fields.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str) -> Endpoint {
        Endpoint { host: host.to_owned(), port: 5432 }
    }

    #[test]
    fn the_first_line_that_fits_gives_the_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgpass");
        std::fs::write(&path, "# c\nother:*:*:*:no\nh:5432:d:u:a\\:b:c\\\\\n*:*:*:*:last\n")
            .unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(password(&path, &endpoint("h"), "d", "u").unwrap(), "a:b:c\\");
        assert_eq!(password(&path, &endpoint("h"), "d", "v").unwrap(), "last");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert_eq!(password(&path, &endpoint("h"), "d", "u"), None);
        assert!(warning(&path).unwrap().contains("chmod 600"));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(warning(&path), None);
        assert_eq!(warning(&folder.path().join("none")), None);
    }

    #[test]
    fn the_default_socket_is_called_localhost() {
        let line = "localhost:5432:d:u:p";
        assert!(matching(line, &endpoint("/var/run/postgresql"), "d", "u").is_some());
        assert!(matching(line, &endpoint("/elsewhere"), "d", "u").is_none());
    }
}
