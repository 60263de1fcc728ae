//! Who acts, and on which machine.

use std::ffi::OsStr;

/// The account and the machine, in the form that the log accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The account that the process runs under, from the system's list of accounts; `uid:1234` if
    /// it is not listed there. After `sudo` also who called it, as far as the environment tells:
    /// `root(sudo:ada)`. The part in parentheses is a hint, for whoever starts a process decides
    /// its environment.
    pub actor: String,
    /// The machine's name.
    pub host: String,
}

impl Who {
    /// Asks the system.
    #[must_use]
    pub fn current() -> Self {
        let accounts = std::fs::read("/etc/passwd").unwrap_or_default();
        let account = account_name(rustix::process::geteuid().as_raw(), &accounts);
        let caller = std::env::var_os("SUDO_USER");
        let uname = rustix::system::uname();
        Self::from_parts(&account, caller.as_deref(), &uname.nodename().to_string_lossy())
    }

    fn from_parts(account: &str, sudo_user: Option<&OsStr>, host: &str) -> Self {
        let account = visible(account, 80);
        let actor = match sudo_user.map(|caller| visible(&caller.to_string_lossy(), 80)) {
            Some(caller) if caller != account && caller != UNKNOWN => {
                format!("{account}(sudo:{caller})")
            }
            _ => account,
        };
        Self { actor, host: visible(host, 200) }
    }
}

const UNKNOWN: &str = "unknown";

/// The name of an account in the lines `name:password:uid:...` (passwd(5)).
fn account_name(uid: u32, accounts: &[u8]) -> String {
    String::from_utf8_lossy(accounts)
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let number: u32 = fields.nth(1)?.parse().ok()?;
            (number == uid && !name.is_empty()).then(|| name.to_owned())
        })
        .unwrap_or_else(|| format!("uid:{uid}"))
}

/// Replaces what the log does not accept by `?`, so that an odd name never prevents an entry.
fn visible(text: &str, length_max: usize) -> String {
    let visible: String = text
        .chars()
        .take(length_max)
        .map(|character| if character.is_ascii_graphic() { character } else { '?' })
        .collect();
    if visible.is_empty() { UNKNOWN.to_owned() } else { visible }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::fixture::{database, entry};
    use crate::audit::{NewEntry, record};

    #[test]
    fn an_account_is_named_as_the_system_lists_it() {
        let accounts = b"root:x:0:0:root:/root:/bin/sh\n\nbroken\nada:x:1000:1000::/home/ada:\n";
        assert_eq!(account_name(0, accounts), "root");
        assert_eq!(account_name(1000, accounts), "ada");
        assert_eq!(account_name(4711, accounts), "uid:4711");
    }

    #[test]
    fn whoever_called_sudo_is_named_too() {
        let actor =
            |caller: &str| Who::from_parts("root", Some(OsStr::new(caller)), "vault-1").actor;
        assert_eq!(actor("ada"), "root(sudo:ada)");
        assert_eq!(actor("root"), "root");
        assert_eq!(actor(""), "root");
        assert_eq!(actor("a b\nc"), "root(sudo:a?b?c)");
        assert_eq!(Who::from_parts("ada", None, "").host, "unknown");
    }

    #[test]
    fn the_log_accepts_every_account_and_machine() {
        let (_folder, connection) = database();
        let long = "ö".repeat(500);
        for who in [Who::current(), Who::from_parts(&long, Some(OsStr::new("long")), &long)] {
            let new = NewEntry { actor: &who.actor, host: &who.host, ..entry(0) };
            let _ = record(&connection, &new).unwrap();
        }
    }
}
