//! Errors as a person meets them: one clear sentence, what to do, an exit code.
//!
//! The layers below say what failed and on what; what it means and what helps is decided here.

use std::error::Error;

use serde_json::json;

use super::exit::Exit;
use crate::store::{ConnectionProblem, StoreError};

/// Why a command did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl CliError {
    /// An error with its sentence (no full stop at the end).
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: plain(&message.into()), hint: None }
    }

    /// The sentence is the error's own, followed by its causes as far as they add anything.
    #[must_use]
    pub fn from_error(exit: Exit, error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        Self::new(exit, message)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// How the command ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, if anything is known to help.
    #[must_use]
    pub fn what_to_do(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The document that `--json` prints.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        json!({"error": {
            "code": self.exit.name(),
            "exit": self.exit.number(),
            "message": self.message,
            "hint": self.hint,
        }})
    }
}

/// The sentence without what helps programmers only: the system's error numbers, and the names of
/// temporary files.
#[must_use]
pub fn plain(message: &str) -> String {
    let mut text = message.to_owned();
    for (begin, end) in [(" (os error ", ")"), (" at path \"", "\"")] {
        while let Some(start) = text.find(begin) {
            let rest = start + begin.len();
            let Some(length) = text[rest..].find(end) else { break };
            text.replace_range(start..rest + length + end.len(), "");
        }
    }
    text
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let told = |exit| Self::from_error(exit, &error);
        match &error {
            StoreError::NotFound { .. } | StoreError::ShortRead { .. } => told(Exit::Integrity)
                .hint("`strongroom verify --all` tells what is damaged, and what still restores"),
            StoreError::TooLong { .. } => told(Exit::Integrity)
                .hint("put the object back from a copy of the store, or remove it if nobody wrote it"),
            StoreError::AlreadyExists { .. } => told(Exit::Store)
                .hint("another vault may be using the same store; give each vault its own"),
            StoreError::NotWritable { .. } => told(Exit::Store)
                .hint("check the permissions of the store, and whether it is mounted read-only"),
            StoreError::Full { .. } => told(Exit::Store)
                .hint("make room in the store or move it, then run the command again"),
            StoreError::Io { .. } => told(Exit::Store)
                .hint("check the store's disk or network, then run the command again"),
            StoreError::Unreachable { .. } => told(Exit::Store).hint(
                "check that it is mounted, and its `url` in the configuration file",
            ),
            StoreError::Unsupported { .. } => told(Exit::Usage)
                .hint("correct the store's `url`: a directory, as in `/mnt/backups`, or `s3://bucket/prefix`; \
                 docs/stores.md lists all parameters"),
            StoreError::Connection { problem, .. } => told(Exit::Store).hint(connection(problem)),
            StoreError::Credentials { .. } => told(Exit::Store).hint(
                "check the access key and its secret (AWS_PROFILE, AWS_ACCESS_KEY_ID, `profile` or \
                 `credentials` in the store's URL)",
            ),
            StoreError::CredentialsExpired { .. } => told(Exit::Store).hint(
                "get new credentials (a session token has an end), then run the command again",
            ),
            StoreError::Archived { .. } => told(Exit::Store).hint(
                "bring it back with `aws s3api restore-object`, wait until that is done, then run the \
                 command again; and keep the bucket's lifecycle rules from moving this prefix",
            ),
            StoreError::TooLarge { .. } => told(Exit::Store).hint(
                "write a smaller `part_mib` into the store's URL (5 is the least), or raise the limit of \
                 the proxy before the service (nginx: client_max_body_size)",
            ),
            StoreError::Denied { action, .. } => told(Exit::Store)
                .hint(format!("grant `{action}` to this identity; docs/stores.md lists them all")),
            StoreError::NoBucket { .. } => told(Exit::Store).hint(
                "check the bucket's name and the endpoint; strongroom never makes a bucket",
            ),
            StoreError::WrongRegion { region: Some(region), .. } => told(Exit::Store)
                .hint(format!("write `region={region}` into the store's URL")),
            StoreError::WrongRegion { region: None, .. } => {
                told(Exit::Store).hint(
                    "write the `region` that the service is configured with into the store's URL \
                     (for Garage, `s3_region` of its garage.toml)",
                )
            }
            StoreError::ClockSkew { .. } => {
                told(Exit::Store).hint("set this machine's clock, then run the command again")
            }
            StoreError::Unfit { .. } => told(Exit::Store)
                .hint("use another service, or a newer version of it; docs/stores.md lists some"),
            StoreError::NoObjectLock { .. } => told(Exit::Store).hint(
                "use a bucket that was made with Object Lock, or leave `lock` and `legal_hold` out of \
                 the store's URL",
            ),
            StoreError::Retained { .. } => told(Exit::Store).hint(
                "it falls free by itself, and `strongroom prune` removes it then; a legal hold ends \
                 when somebody takes it off",
            ),
        }
    }
}

/// What to do about a connection.
fn connection(problem: &ConnectionProblem) -> &'static str {
    match problem {
        ConnectionProblem::UnknownHost { .. } => {
            "check `endpoint` in the store's URL, and this machine's name service; where the bucket \
             is no part of the host's name, write `path_style=true`"
        }
        ConnectionProblem::Refused { .. } => {
            "check that the service runs, and host and port of `endpoint` in the store's URL"
        }
        ConnectionProblem::Silent { .. } => {
            "check the network and firewalls; `timeout_seconds` in the store's URL makes it wait longer"
        }
        ConnectionProblem::Proxy { .. } => {
            "check HTTPS_PROXY and HTTP_PROXY, or name the host in NO_PROXY"
        }
        ConnectionProblem::Certificate { .. } => {
            "name the authority's certificate with `ca` in the store's URL; never switch TLS off for it"
        }
        ConnectionProblem::NoTls { .. } => {
            "write `http://` in `endpoint` if the service has no TLS, or check its port"
        }
        ConnectionProblem::TlsWanted { .. } => "write `https://` in `endpoint` of the store's URL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let cause = std::io::Error::other("the disk is on fire");
        let error = StoreError::Io { location: "/s".into(), name: "a".into(), source: cause };
        let error = CliError::from(error);
        assert_eq!(error.message(), "/s failed (object `a`): the disk is on fire");
        assert_eq!(error.exit(), Exit::Store);
    }

    #[test]
    fn numbers_and_temporary_names_are_left_out() {
        let message = "/s is full: No space (os error 28) at path \"/s/.tmp\", twice (os error 1)";
        assert_eq!(plain(message), "/s is full: No space, twice");
        assert_eq!(plain("cut (os error "), "cut (os error ");
    }

    #[test]
    fn the_json_document_is_the_documented_one() {
        let error = CliError::new(Exit::NotFound, "no backup `x`").hint("see `strongroom list`");
        assert_eq!(
            error.to_json().to_string(),
            concat!(
                r#"{"error":{"code":"not-found","exit":5,"#,
                r#""hint":"see `strongroom list`","message":"no backup `x`"}}"#
            )
        );
    }
}
