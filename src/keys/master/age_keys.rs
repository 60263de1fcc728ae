//! Keys that age files are encrypted to and opened with: age's own, and those of OpenSSH.

use std::fmt;
use std::str::FromStr;

use crate::crypto::SecretText;
use crate::keys::KeyError;

/// What an SSH public key of a kind that age takes begins with.
const SSH_PREFIXES: [&str; 2] = ["ssh-ed25519 ", "ssh-rsa "];
/// What every private key of OpenSSH and OpenSSL begins with.
const SSH_PRIVATE: &str = "-----BEGIN ";
/// How many of an SSH key's last letters tell it from others, for people.
const SSH_LETTERS: usize = 16;

/// Somebody to encrypt to.
pub enum Recipient {
    /// `age1…`
    Age(age::x25519::Recipient),
    /// `ssh-ed25519 …` or `ssh-rsa …`, as in an `authorized_keys` file.
    Ssh(age::ssh::Recipient),
}

impl Recipient {
    /// It as age takes it.
    #[must_use]
    pub fn as_age(&self) -> &dyn age::Recipient {
        match self {
            Self::Age(recipient) => recipient,
            Self::Ssh(recipient) => recipient,
        }
    }
}

impl FromStr for Recipient {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let invalid = || KeyError::InvalidAgeKey { what: format!("the recipient `{text}`") };
        if !SSH_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            return text.parse().map(Self::Age).map_err(|_| invalid());
        }
        // The comment at its end, mostly `user@machine`, is no part of the key.
        let key: Vec<&str> = text.split_whitespace().take(2).collect();
        key.join(" ").parse().map(Self::Ssh).map_err(|_| invalid())
    }
}

/// As the audit log names it: one word.
impl fmt::Display for Recipient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Age(recipient) => recipient.fmt(formatter),
            Self::Ssh(recipient) => {
                let text = recipient.to_string();
                let (kind, key) = text.split_once(' ').unwrap_or(("ssh", &text));
                let begin = key.len().saturating_sub(SSH_LETTERS);
                write!(formatter, "{kind}:...{}", key.get(begin..).unwrap_or(key))
            }
        }
    }
}

/// The identities in a file, which `path` names in errors: an age identity file, or one private key of
/// OpenSSH without a passphrase of its own.
pub fn identities(
    text: &SecretText,
    path: &str,
) -> Result<Vec<Box<dyn age::Identity + Send + Sync>>, KeyError> {
    let invalid =
        |why: &str| KeyError::InvalidAgeKey { what: format!("the identity file {path}{why}") };
    let text = text.expose();
    if text.trim_start().starts_with(SSH_PRIVATE) {
        return match age::ssh::Identity::from_buffer(text.trim_start().as_bytes(), None) {
            Ok(identity @ age::ssh::Identity::Unencrypted(_)) => Ok(vec![Box::new(identity)]),
            Ok(age::ssh::Identity::Encrypted(_)) => {
                Err(invalid(" (an SSH key that has a passphrase of its own)"))
            }
            Ok(age::ssh::Identity::Unsupported(_)) => {
                Err(invalid(" (an SSH key neither of ed25519 nor of RSA)"))
            }
            Err(_) => Err(invalid("")),
        };
    }
    age::IdentityFile::from_buffer(text.as_bytes())
        .map_err(|_| invalid(""))?
        .into_identities()
        .map_err(|_| invalid(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 \
         AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";

    #[test]
    fn ssh_keys_are_taken_as_openssh_writes_them() {
        let recipient: Recipient = format!("{ED25519} alice@rust\n").parse().unwrap();
        let end = &ED25519[ED25519.len() - SSH_LETTERS..];
        assert_eq!(recipient.to_string(), format!("ssh-ed25519:...{end}"));
        for wrong in ["ssh-ed25519 AAAA", "ssh-dss AAAAB3NzaC1kc3M=", "age1x", "", "ecdsa x"] {
            assert!(wrong.parse::<Recipient>().is_err(), "{wrong}");
        }
    }
}
