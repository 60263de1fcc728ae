//! Hosts and ports: where a server may be.

use std::path::{Path, PathBuf};

use crate::postgres::error::{PostgresError, invalid};

/// One place where the server may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A host name, an address, or a socket's folder (begins with `/` or `@`).
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Endpoint {
    /// Whether this is a Unix socket: never encrypted, as in libpq.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/') || self.host.starts_with('@')
    }

    /// Where the file of a socket in that folder is.
    pub(in crate::postgres) fn socket_path(&self) -> PathBuf {
        Path::new(&self.host).join(format!(".s.PGSQL.{}", self.port))
    }
}

/// Pairs hosts with ports as libpq does: one port for all, or one for each.
pub(in crate::postgres) fn endpoints(
    hosts: Option<&str>,
    ports: Option<&str>,
    addresses: &[std::net::IpAddr],
) -> Result<Vec<Endpoint>, PostgresError> {
    let hosts: Vec<String> = match hosts {
        Some(list) => list.split(',').map(str::to_owned).collect(),
        None if !addresses.is_empty() => addresses.iter().map(ToString::to_string).collect(),
        None => vec![String::new()],
    };
    if !addresses.is_empty() && addresses.len() != hosts.len() {
        return Err(invalid("`host` and `hostaddr` differ in number"));
    }
    if hosts.iter().any(|host| host.contains('@') && !host.starts_with('@')) {
        return Err(invalid("the host contains `@`; write `%40` for an `@` in a password"));
    }
    let ports: Vec<u16> = match ports {
        None => vec![5432],
        Some(list) => list
            .split(',')
            .map(|port| if port.is_empty() { Ok(5432) } else { port.trim().parse() })
            .collect::<Result<_, _>>()
            .map_err(|_| invalid("the port is not a number between 0 and 65535"))?,
    };
    if ports.len() != 1 && ports.len() != hosts.len() {
        return Err(invalid("there are not as many ports as hosts"));
    }
    let single_port = ports[0];
    Ok(hosts
        .into_iter()
        .enumerate()
        .map(|(index, host)| Endpoint {
            host: if host.is_empty() { default_host() } else { host },
            port: ports.get(index).copied().unwrap_or(single_port),
        })
        .collect())
}

/// libpq's default: the local socket where there is one. Debian's folder, then PostgreSQL's own.
fn default_host() -> String {
    ["/var/run/postgresql", "/tmp"]
        .into_iter()
        .find(|folder| Path::new(folder).join(".s.PGSQL.5432").exists())
        .unwrap_or("localhost")
        .to_owned()
}
