//! The two textual forms of connection settings, a URL and `key=value` pairs, as libpq reads them.
//! Source: PostgreSQL's documentation, "Connection Strings".

use std::collections::BTreeMap;

use crate::postgres::error::{PostgresError, invalid};

/// The parameters by name, in either form, before any of them is understood.
pub(in crate::postgres) fn parameters(
    text: &str,
) -> Result<BTreeMap<String, String>, PostgresError> {
    for prefix in ["postgres://", "postgresql://"] {
        if let Some(rest) = text.strip_prefix(prefix) {
            return url_parameters(rest);
        }
    }
    if text.contains("://") {
        return Err(invalid("it does not begin with postgres:// or postgresql://"));
    }
    key_value_parameters(text)
}

fn url_parameters(rest: &str) -> Result<BTreeMap<String, String>, PostgresError> {
    let mut given = BTreeMap::new();
    let mut put = |name: &str, value: String| {
        if !value.is_empty() {
            given.insert(name.to_owned(), value);
        }
    };
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = before_query.split_once('/').unwrap_or((before_query, ""));
    // A `/` in a password that was not written `%2F` ends the authority too early.
    if database.contains('@') {
        return Err(invalid("there is an `@` after the host; write `%2F` for a `/` in a password"));
    }
    put("dbname", decoded(database, "the database's name")?);

    let (credentials, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    put("user", decoded(user, "the user's name")?);
    put("password", decoded(password, "the password")?);

    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        let (name, port) = if let Some(bracketed) = host.strip_prefix('[') {
            let (name, after) =
                bracketed.split_once(']').ok_or_else(|| invalid("a `]` is missing in the host"))?;
            (name, after.strip_prefix(':').unwrap_or(after))
        } else {
            host.split_once(':').unwrap_or((host, ""))
        };
        names.push(decoded(name, "the host")?);
        ports.push(decoded(port, "the port")?);
    }
    if names.iter().any(|name| !name.is_empty()) {
        put("host", names.join(","));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        put("port", ports.join(","));
    }

    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) =
            parameter.split_once('=').ok_or_else(|| invalid("a parameter after `?` has no `=`"))?;
        let name = decoded(name, "a parameter's name")?;
        let value = decoded(value, "a parameter's value")?;
        // JDBC's way to ask for encryption, which libpq accepts too.
        if name == "ssl" && value == "true" {
            put("sslmode", "require".to_owned());
        } else {
            put(&name, value);
        }
    }
    Ok(given)
}

fn decoded(text: &str, what: &str) -> Result<String, PostgresError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = after.get(..2).ok_or_else(|| invalid(format!("{what} ends in `%`")))?;
            let byte = hex::decode(digits).map_err(|_| {
                invalid(format!("{what} has a `%` without two digits; write `%25`"))
            })?;
            bytes.extend_from_slice(&byte);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    if bytes.contains(&0) {
        return Err(invalid(format!("{what} contains a zero byte")));
    }
    String::from_utf8(bytes).map_err(|_| invalid(format!("{what} is not UTF-8")))
}

/// `host=localhost user='a b' password=it\'s`.
fn key_value_parameters(text: &str) -> Result<BTreeMap<String, String>, PostgresError> {
    let mut given = BTreeMap::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) =
            rest.split_once('=').ok_or_else(|| invalid("a setting has no `=` after its name"))?;
        let after = after.trim_start();
        let quoted = after.starts_with('\'');
        let mut value = String::new();
        let mut characters = after.char_indices().skip(usize::from(quoted));
        let mut closed = false;
        let mut end = after.len();
        while let Some((index, character)) = characters.next() {
            match character {
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                '\'' if quoted => {
                    closed = true;
                    end = index + 1;
                    break;
                }
                space if !quoted && space.is_whitespace() => {
                    end = index;
                    break;
                }
                other => value.push(other),
            }
        }
        if quoted && !closed {
            return Err(invalid("a quoted value has no end"));
        }
        given.insert(name.trim().to_owned(), value);
        rest = after[end..].trim_start();
    }
    Ok(given)
}
