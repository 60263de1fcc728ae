//! Arguments that mean something: read once, passed on as values.

use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use zeroize::Zeroizing;

use super::error::CliError;
use super::exit::Exit;
use super::output::Output;
use crate::base::schema::{QualifiedName, split_identifiers};

use crate::policy::subject_map::OnGone;
use crate::vault::reader::select::Choice;

/// Why an argument cannot be read. The argument parser adds which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(&'static str);

/// Where a database is: a URL, or the environment variable that holds it. Reading it never fails,
/// so that no complaint of the argument parser can repeat a password; [`ConnectionUrl::resolve`]
/// checks it.
#[derive(Clone, PartialEq, Eq)]
pub enum ConnectionUrl {
    /// The URL itself.
    Literal(String),
    /// `env:NAME`: the variable's name.
    Environment(String),
}

impl FromStr for ConnectionUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix("env:") {
            Some(variable) => Self::Environment(variable.to_owned()),
            None => Self::Literal(text.to_owned()),
        })
    }
}

impl ConnectionUrl {
    /// The URL to connect with. `flag` is the argument's, for messages; a password on the command
    /// line, where every process of the machine can read it, is warned of.
    ///
    /// # Errors
    /// `Usage` when the variable is not set.
    pub fn resolve(&self, flag: &str, output: &Output) -> Result<Zeroizing<String>, CliError> {
        match self {
            Self::Literal(url) => {
                if holds_password(url) {
                    output.warning(&format!(
                        "the URL of {flag} holds a password, and other users of this machine can \
                         read command lines: `{flag} env:NAME` or a passfile (PGPASSFILE) keeps it \
                         to yourself"
                    ));
                }
                Ok(Zeroizing::new(url.clone()))
            }
            Self::Environment(name) => match std::env::var(name) {
                Ok(url) if !url.is_empty() => Ok(Zeroizing::new(url)),
                _ => {
                    let message = format!("{flag}: the environment variable `{name}` is not set");
                    Err(CliError::new(Exit::Usage, message).hint(format!(
                        "set it to a URL, as in `export {name}=postgresql://user@host/database`"
                    )))
                }
            },
        }
    }
}

/// Whether a connection string holds a password. Rather once too often than once too rarely: a
/// password may itself hold `/`, `?` or `@`.
fn holds_password(url: &str) -> bool {
    let authority = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    authority.is_some_and(|(user, _)| user.contains(':')) || url.contains("password")
}

/// The text with the passwords of all connection strings in it left out.
#[must_use]
pub fn without_passwords(text: &str) -> String {
    text.split_inclusive(char::is_whitespace)
        .map(|word| match (word.split_once("://"), word.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
            _ => match word.split_once("password=") {
                Some((before, after)) => {
                    let end = after.trim_start_matches(|c: char| !c.is_whitespace());
                    format!("{before}password=…{end}")
                }
                None => word.to_owned(),
            },
        })
        .collect()
}

/// Which backup is meant.
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    /// A backup's id, the beginning of one, or `latest`; `SOURCE:latest`, `SOURCE@2026-11-01` (the
    /// newest of that day)
    #[arg(value_name = "BACKUP")]
    pub backup: Choice,

    /// The source of the backup; needed for `latest` where there are several
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    pub source: Option<String>,
}

impl BackupArgs {
    /// The backup that both together mean.
    ///
    /// # Errors
    /// `Usage` when they contradict each other.
    pub fn choice(&self) -> Result<Choice, CliError> {
        of_source(&self.backup, self.source.as_deref())
    }
}

/// The choice of a backup with what `--source` says.
///
/// # Errors
/// `Usage` when they contradict each other.
pub fn of_source(choice: &Choice, source: Option<&str>) -> Result<Choice, CliError> {
    match (&choice.source, source) {
        (Some(named), Some(source)) if named != source => {
            let message = format!("`{choice}` is of source {named}, and --source says {source}");
            Err(CliError::new(Exit::Usage, message).hint("leave out one of them"))
        }
        (None, Some(source)) => {
            Ok(Choice { source: Some(source.to_owned()), which: choice.which.clone() })
        }
        _ => Ok(choice.clone()),
    }
}

/// `SCHEMA.TABLE.COLUMN` or `TABLE.COLUMN` (schema `public`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnName {
    /// The table.
    pub table: QualifiedName,
    /// The column.
    pub column: String,
}

impl FromStr for ColumnName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let parts = split_identifiers(text).unwrap_or_default();
        match <[String; 3]>::try_from(parts) {
            Ok([schema, table, column]) => {
                Ok(Self { table: QualifiedName { schema, name: table }, column })
            }
            Err(parts) => match <[String; 2]>::try_from(parts) {
                Ok([table, column]) => {
                    Ok(Self { table: QualifiedName::new("public", table), column })
                }
                Err(_) => Err(InvalidValue("write TABLE.COLUMN or SCHEMA.TABLE.COLUMN")),
            },
        }
    }
}

/// `TABLE.COLUMN=null|drop|placeholder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnGoneChoice {
    /// The referring column.
    pub column: ColumnName,
    /// What happens to it.
    pub action: OnGone,
}

impl FromStr for OnGoneChoice {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        const FORM: InvalidValue = InvalidValue("write TABLE.COLUMN=null, =drop or =placeholder");
        let (column, action) = split_outside_quotes(text, '=').ok_or(FORM)?;
        let action = match action {
            "null" => OnGone::SetNull,
            "drop" => OnGone::DropRow,
            "placeholder" => OnGone::Placeholder,
            _ => return Err(FORM),
        };
        Ok(Self { column: column.parse().map_err(|_| FORM)?, action })
    }
}

/// Splits at the first `mark` that is not inside double quotes.
fn split_outside_quotes(text: &str, mark: char) -> Option<(&str, &str)> {
    let mut quoted = false;
    let at = text.char_indices().find(|&(_, character)| {
        quoted ^= character == '"';
        character == mark && !quoted
    });
    at.map(|(index, mark)| (&text[..index], &text[index + mark.len_utf8()..]))
}

/// A moment as a person gives it: a day (its beginning in UTC) or RFC 3339.
///
/// # Errors
/// When it is neither.
pub fn moment(text: &str) -> Result<DateTime<Utc>, InvalidValue> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    match DateTime::parse_from_rfc3339(text) {
        Ok(moment) => Ok(moment.to_utc()),
        Err(_) => Err(InvalidValue("write a day, 2026-11-22, or a moment, 2026-11-22T02:00:00Z")),
    }
}

/// Checks a name that a person gives to a source: it becomes a file name and part of messages.
///
/// # Errors
/// When it is not 1 to 63 letters, digits, `-` and `_`, beginning with a letter or digit.
pub fn source_name(text: &str) -> Result<String, InvalidValue> {
    let fits = (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(InvalidValue("write 1 to 63 letters, digits, `-` and `_`, no mark first"))
    }
}

/// Reads a length of time: `500ms`, `5s`, `2m`, `1h`; a number alone is seconds.
///
/// # Errors
/// When it is none, is 0 or is longer than a week.
pub fn duration(text: &str) -> Result<Duration, InvalidValue> {
    const FORM: InvalidValue =
        InvalidValue("write a length of time above 0, such as 500ms, 5s, 2m or 1h");
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..end].parse().map_err(|_| FORM)?;
    let milliseconds = match &text[end..] {
        "ms" => 1,
        "" | "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(FORM),
    };
    let length = number.checked_mul(milliseconds).ok_or(FORM)?;
    let week = 7 * 24 * 3_600_000;
    if (1..=week).contains(&length) { Ok(Duration::from_millis(length)) } else { Err(FORM) }
}

/// A length of time, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationOrNever(pub Option<Duration>);

impl FromStr for DurationOrNever {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "never" => Ok(Self(None)),
            text => duration(text).map(|length| Self(Some(length))),
        }
    }
}

/// Checks the number of a case: it stands in the audit log and in names of files, so it must not be
/// a person's name.
///
/// # Errors
/// When it is not 1 to 40 letters, digits, `.`, `_`, `-` and `/` with a digit among them, beginning
/// with a letter or digit.
pub fn case_number(text: &str) -> Result<String, InvalidValue> {
    let fits = (1..=40).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.contains(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(InvalidValue("write a number such as 2026-118: letters, digits, `.`, `_`, `-`, `/`"))
    }
}

/// Reads a number of connections.
///
/// # Errors
/// When it is not 1 to 64.
pub fn jobs(text: &str) -> Result<u16, InvalidValue> {
    let number = text.parse().ok().filter(|number| (1..=64).contains(number));
    number.ok_or(InvalidValue("write a whole number from 1 to 64"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_password_in_a_url_is_noticed() {
        for text in [
            "postgres://u:hunter2@h/d",
            "postgres://u:hun/ter2@h/d",
            "postgresql://u@h/d?password=hunter2",
            "host=h user=u password=hunter2",
        ] {
            assert!(holds_password(text), "{text}");
        }
        for text in ["postgres://u@h:5432/d", "postgresql:///d?host=/run", "host=h user=u"] {
            assert!(!holds_password(text), "{text}");
        }
    }

    #[test]
    fn an_unset_variable_is_named() {
        let output = Output::new(true, true);
        let Ok(url) = "env:STRONGROOM_NO_SUCH".parse::<ConnectionUrl>();
        let error = url.resolve("--to", &output).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.message().contains("`STRONGROOM_NO_SUCH` is not set"));
    }

    #[test]
    fn passwords_are_taken_out_of_any_text() {
        let text = "unexpected 'postgres://u:p@ss@h/d' and password=x y";
        assert_eq!(without_passwords(text), "unexpected 'postgres://…@h/d' and password=… y");
        assert_eq!(without_passwords("plain a@b\n text"), "plain a@b\n text");
    }

    #[test]
    fn choices_are_read_as_postgresql_reads_names() {
        let gone: OnGoneChoice = "referrals.referred_id=null".parse().unwrap();
        assert_eq!(gone.column.table, QualifiedName::new("public", "referrals"));
        assert_eq!((gone.column.column.as_str(), gone.action), ("referred_id", OnGone::SetNull));
        for wrong in ["", "a", "a=", "=b", "a=b,", "a=b.c", "a.b.c=d"] {
            assert!(wrong.parse::<OnGoneChoice>().is_err(), "{wrong}");
        }
        assert!("a.b=keep".parse::<OnGoneChoice>().is_err());
    }

    #[test]
    fn moments_are_days_or_rfc_3339() {
        let day = moment("2026-11-22").unwrap();
        assert_eq!(day, moment("2026-11-22T01:00:00+01:00").unwrap());
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn lengths_of_time_have_a_unit() {
        for (text, milliseconds) in [("500ms", 500), ("5s", 5000), ("5", 5000), ("2m", 120_000)] {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(milliseconds));
        }
        assert_eq!("never".parse(), Ok(DurationOrNever(None)));
        for wrong in ["", "0", "0s", "s", "5 s", "-5s", "5d", "1e3", "99999999999999999999", "200h"]
        {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_and_selectors_are_plain() {
        assert!(source_name("finance-1_x").is_ok());
        for wrong in ["", "-a", "a/b", "a b", "ä", &"x".repeat(64)] {
            assert!(source_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_case_has_a_number_and_is_no_name() {
        for good in ["2026-118", "DSR/2026/7", "118"] {
            assert_eq!(case_number(good).as_deref(), Ok(good));
        }
        for wrong in ["", "anna", "-1", "a b 1", "../1", "a@b1", &"1".repeat(41)] {
            assert!(case_number(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_source_is_said_once_or_twice_the_same() {
        let of = |text: &str, source| of_source(&text.parse().unwrap(), source);
        assert_eq!(of("latest", Some("finance")).unwrap(), "finance:latest".parse().unwrap());
        assert_eq!(of("finance:latest", Some("finance")), of("finance:latest", None));
        assert_eq!(of("finance:latest", Some("ledger")).unwrap_err().exit(), Exit::Usage);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in ".{0,40}") {
            let _ = text.parse::<Choice>();
            let _ = text.parse::<ColumnName>();
            let _ = text.parse::<OnGoneChoice>();
            let _ = text.parse::<ConnectionUrl>();
            let _ = (moment(&text), source_name(&text), jobs(&text), holds_password(&text));
            let _ = without_passwords(&text);
        }

        #[test]
        fn what_names_a_column_is_read_back(
            schema in ".{1,8}", table in ".{1,8}", column in ".{1,8}",
            word in prop::sample::select(vec!["null", "drop", "placeholder"]),
        ) {
            let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
            let text = format!("{}.{}.{}", quoted(&schema), quoted(&table), quoted(&column));
            let choice: OnGoneChoice = format!("{text}={word}").parse().unwrap();
            prop_assert_eq!(choice.column.table, QualifiedName { schema, name: table });
            prop_assert_eq!(choice.column.column, column);
        }

        #[test]
        fn a_password_in_a_url_is_noticed_and_taken_out(
            password in "[a-zA-Z0-9/?@:#%]{6,20}", before in "[a-z ]{0,9}", after in "[a-z ]{0,9}",
        ) {
            // So that it is not part of the rest by chance.
            let password = format!("7{password}7");
            let url = format!("postgres://user:{password}@host/database");
            prop_assert!(holds_password(&url));
            let text = without_passwords(&format!("{before} {url} {after}"));
            prop_assert!(!text.contains(&password), "{}", text);
            prop_assert!(text.contains("@host/database"), "{}", text);
        }
    }
}
