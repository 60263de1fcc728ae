//! What is set on a database itself: settings, also of roles in it, rights, owner, comment, limits. An archive
//! holds them as statements that name the source's database; here they are given another name.

use super::restore::Restore;
use super::{Section, Tools};
use crate::base::schema::quote_identifier;
use crate::postgres::connect::url::ConnectionSettings;
use crate::postgres::error::PostgresError;

/// What a statement about a database does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseStatementKind {
    /// Settings and the comment.
    Setting,
    /// Rights on it.
    Privilege,
    /// Its owner.
    Owner,
    /// What may keep the restoring role out: the number of connections.
    Limit,
}

/// A statement about a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseStatement {
    /// What it does.
    pub kind: DatabaseStatementKind,
    /// Its text.
    pub text: String,
}

/// The statements of an archive about its database, named `source`, for one named as in `settings`.
pub async fn database_statements(
    tools: &Tools,
    settings: &ConnectionSettings,
    archive: &[u8],
    source: &str,
) -> Result<Vec<DatabaseStatement>, PostgresError> {
    let restore = Restore::new(tools, settings, archive, Section::PreData)?;
    let script = restore.database_script().await?;
    let named = |text: &str| statement(text, source, settings.database());
    Ok(statements(&script).into_iter().filter_map(|text| named(&text)).collect())
}

/// Whether an entry of the list, from its description on, is about the database.
pub(super) fn is_about_database(description: &str) -> bool {
    ["DATABASE ", "ACL - DATABASE ", "COMMENT - DATABASE ", "SECURITY LABEL - DATABASE "]
        .iter()
        .any(|beginning| description.starts_with(beginning))
}

/// A script's statements, without comments and commands of `psql`.
fn statements(script: &str) -> Vec<String> {
    let (mut found, mut text, mut quote) = (Vec::new(), String::new(), None);
    for line in script.lines() {
        if quote.is_none() && text.is_empty() && (line.starts_with("--") || line.starts_with('\\'))
        {
            continue;
        }
        for character in line.chars() {
            match (quote, character) {
                (None, '\'' | '"') => quote = Some(character),
                (Some(open), character) if open == character => quote = None,
                (None, ';') => {
                    found.push(std::mem::take(&mut text).trim().to_owned());
                    continue;
                }
                _ => {}
            }
            text.push(character);
        }
        if !text.is_empty() {
            text.push('\n');
        }
    }
    found
}

/// A statement with the other name, if it is one to carry out.
fn statement(text: &str, source: &str, target: &str) -> Option<DatabaseStatement> {
    let is_setting = text.starts_with("COMMENT ")
        || text.starts_with("SECURITY LABEL ")
        || (text.starts_with("ALTER ROLE ") && text.contains(" IN DATABASE "));
    let kind = if text.starts_with("GRANT ") || text.starts_with("REVOKE ") {
        DatabaseStatementKind::Privilege
    } else if is_setting {
        DatabaseStatementKind::Setting
    } else if let Some(rest) = text.strip_prefix("ALTER DATABASE ") {
        match rest.strip_prefix(&name_in(rest, source)?)? {
            rest if rest.starts_with(" SET ") => DatabaseStatementKind::Setting,
            rest if rest.starts_with(" OWNER ") => DatabaseStatementKind::Owner,
            rest if rest.contains("CONNECTION LIMIT") => DatabaseStatementKind::Limit,
            _ => return None,
        }
    } else {
        return None;
    };
    let at = text.find(" DATABASE ")? + " DATABASE ".len();
    let (before, rest) = text.split_at(at);
    let rest = rest.strip_prefix(&name_in(rest, source)?)?;
    Some(DatabaseStatement { kind, text: format!("{before}{}{rest}", quote_identifier(target)) })
}

/// The source's name as it stands at the beginning, quoted or not.
fn name_in(text: &str, source: &str) -> Option<String> {
    [quote_identifier(source), format!("\"{}\"", source.replace('"', "\"\"")), source.to_owned()]
        .into_iter()
        .find(|name| {
            text.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with([' ', '\n', ';']))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_on_a_database_is_set_on_one_with_another_name() {
        let script = "--\n-- Name: shop; Type: DATABASE\n--\n\nCREATE DATABASE shop WITH TEMPLATE = template0;\n\n\
            ALTER DATABASE shop OWNER TO owner;\n\n\\connect shop\n\nSET lock_timeout = 0;\n\
            COMMENT ON DATABASE shop IS 'the; shop''s\n-- DATABASE shop';\n\
            ALTER DATABASE shop SET \"TimeZone\" TO 'Asia/Tokyo';\n\
            ALTER ROLE app IN DATABASE shop SET statement_timeout TO '5s';\n\
            ALTER DATABASE shop CONNECTION LIMIT = 50;\n\
            REVOKE CONNECT,TEMPORARY ON DATABASE shop FROM PUBLIC;\nGRANT CONNECT ON DATABASE shop TO app;\n";
        let found: Vec<_> = statements(script)
            .iter()
            .filter_map(|text| statement(text, "shop", "the copy"))
            .collect();
        let texts: Vec<_> = found.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "ALTER DATABASE \"the copy\" OWNER TO owner",
                "COMMENT ON DATABASE \"the copy\" IS 'the; shop''s\n-- DATABASE shop'",
                "ALTER DATABASE \"the copy\" SET \"TimeZone\" TO 'Asia/Tokyo'",
                "ALTER ROLE app IN DATABASE \"the copy\" SET statement_timeout TO '5s'",
                "ALTER DATABASE \"the copy\" CONNECTION LIMIT = 50",
                "REVOKE CONNECT,TEMPORARY ON DATABASE \"the copy\" FROM PUBLIC",
                "GRANT CONNECT ON DATABASE \"the copy\" TO app",
            ]
        );
        assert_eq!(found[0].kind, DatabaseStatementKind::Owner);
        assert_eq!(found[4].kind, DatabaseStatementKind::Limit);
        assert_eq!(statement("ALTER DATABASE shop2 SET a TO 1", "shop", "x"), None);
        assert!(statement("ALTER DATABASE \"my shop\" SET a TO 1", "my shop", "x").is_some());
    }
}
