//! Large objects: out of a snapshot, back into a database, and whose they are.
//!
//! The role must be a superuser, own the large object, or have been granted SELECT on it.
//! Source: PostgreSQL's documentation, "Large Objects", "Server-Side Functions".

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::copy::local_rows_only;
use super::lines::split_owner;
use super::owners::{Equality, Verdict, owner_fields, owner_joins};
use crate::base::schema::{Column, OwnerWays, Table, quote_identifier, quote_literal};
use crate::postgres::connect::session::{Session, value};
use crate::postgres::error::PostgresError;

/// How much one call reads or writes, in bytes.
pub const CHUNK_BYTES: u64 = 1 << 20;

/// What there is to know of a large object besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObject {
    /// Its object identifier, by which rows name it.
    pub oid: u32,
    /// The role that owns it.
    pub owner: String,
    /// Its comment.
    pub comment: Option<String>,
    /// The rights granted on it.
    pub grants: Vec<LargeObjectGrant>,
}

/// A right on a large object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjectGrant {
    /// The role; `None` for everybody.
    pub role: Option<String>,
    /// `SELECT` or `UPDATE`.
    pub privilege: String,
    /// Whether the role may grant it on.
    pub grantable: bool,
}

/// All large objects of the session's snapshot, ordered by oid.
pub async fn list(session: &Session) -> Result<Vec<LargeObject>, PostgresError> {
    let statement = "
        SELECT m.oid, pg_get_userbyid(m.lomowner)::text, obj_description(m.oid, 'pg_largeobject')
        FROM pg_largeobject_metadata m ORDER BY m.oid";
    let mut objects = Vec::new();
    for row in session.query(statement, &[]).await? {
        objects.push(LargeObject {
            oid: value(&row, 0)?,
            owner: value(&row, 1)?,
            comment: value(&row, 2)?,
            grants: Vec::new(),
        });
    }
    // The owner's own rights go with the ownership.
    let statement = "
        SELECT m.oid, CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee)::text END,
            a.privilege_type, a.is_grantable
        FROM pg_largeobject_metadata m, LATERAL aclexplode(m.lomacl) a
        WHERE a.grantee <> m.lomowner ORDER BY 1, 2 NULLS FIRST, 3";
    for row in session.query(statement, &[]).await? {
        let oid: u32 = value(&row, 0)?;
        if let Ok(position) = objects.binary_search_by_key(&oid, |object| object.oid) {
            objects[position].grants.push(LargeObjectGrant {
                role: value(&row, 1)?,
                privilege: value(&row, 2)?,
                grantable: value(&row, 3)?,
            });
        }
    }
    Ok(objects)
}

/// A large object's length in bytes. Only within a transaction, as in a snapshot.
pub async fn size_bytes(session: &Session, oid: u32) -> Result<u64, PostgresError> {
    // 0x40000 is INV_READ, 2 is SEEK_END; the list is computed from left to right.
    let statement = "
        SELECT lo_lseek64(o.descriptor, 0, 2), lo_close(o.descriptor)
        FROM (SELECT lo_open($1, 262144) AS descriptor OFFSET 0) o";
    let row = session.query_one(statement, &[&oid]).await?;
    Ok(u64::try_from(value::<i64>(&row, 0)?).unwrap_or(0))
}

/// At most [`CHUNK_BYTES`] of a large object from `offset_bytes`; fewer at its end, none after it.
pub async fn read_chunk(
    session: &Session,
    oid: u32,
    offset_bytes: u64,
) -> Result<Bytes, PostgresError> {
    let offset = i64::try_from(offset_bytes).unwrap_or(i64::MAX);
    let length = i32::try_from(CHUNK_BYTES).unwrap_or(i32::MAX);
    let row = session.query_one("SELECT lo_get($1, $2, $3)", &[&oid, &offset, &length]).await?;
    Ok(Bytes::copy_from_slice(value(&row, 0)?))
}

/// Makes an empty large object with this oid.
pub async fn create(session: &Session, oid: u32) -> Result<(), PostgresError> {
    session.query_one("SELECT lo_create($1)", &[&oid]).await.map(drop)
}

/// Writes bytes at `offset_bytes`, at most a few [`CHUNK_BYTES`] at a time.
pub async fn write_chunk(
    session: &Session,
    oid: u32,
    offset_bytes: u64,
    bytes: &[u8],
) -> Result<(), PostgresError> {
    let offset = i64::try_from(offset_bytes).unwrap_or(i64::MAX);
    let answer = session.query_one("SELECT lo_put($1, $2, $3)", &[&oid, &offset, &bytes]).await;
    answer.map(drop)
}

/// Sets what [`list`] told: the comment, and unless left out, the owner and the rights.
pub async fn set_properties(
    session: &Session,
    object: &LargeObject,
    with_owner: bool,
    with_privileges: bool,
) -> Result<(), PostgresError> {
    let oid = object.oid;
    let mut statements = Vec::new();
    if let Some(comment) = &object.comment {
        statements.push(format!("COMMENT ON LARGE OBJECT {oid} IS {}", quote_literal(comment)));
    }
    if with_privileges {
        for grant in &object.grants {
            let role = grant.role.as_deref().map_or_else(|| "PUBLIC".to_owned(), quote_identifier);
            let option = if grant.grantable { " WITH GRANT OPTION" } else { "" };
            // The server names the privilege itself: a word, never a user's text.
            let privilege = if grant.privilege == "UPDATE" { "UPDATE" } else { "SELECT" };
            statements.push(format!("GRANT {privilege} ON LARGE OBJECT {oid} TO {role}{option}"));
        }
    }
    if with_owner {
        let owner = quote_identifier(&object.owner);
        statements.push(format!("ALTER LARGE OBJECT {oid} OWNER TO {owner}"));
    }
    if statements.is_empty() {
        return Ok(());
    }
    session.batch(&format!("the properties of large object {oid}"), &statements.join("; ")).await
}

/// The COPY statement that tells whose the large objects are that a column names: lines of the
/// owner's key (`\N` for nobody), a tab, the verdict, a tab, and the oid; see
/// [`super::copy::split_owner`]. The column may be an `oid`, a `lo`, or a number or text that holds one. An
/// oid may come more than once.
#[must_use]
pub fn owner_statement(
    table: &Table,
    column: &Column,
    owner: Option<&OwnerWays>,
    equality: &Equality,
) -> String {
    let column = format!("t0.{}", quote_identifier(&column.name));
    let mut fields =
        owner.map_or_else(|| vec!["NULL::text".to_owned()], |owner| owner_fields(owner, false));
    if let [key] = fields.as_slice() {
        let verdict = format!("(CASE WHEN ({key}) IS NULL THEN -1 ELSE 0 END)");
        fields.push(verdict);
    }
    let local = local_rows_only(table);
    let join = if local.is_empty() { " WHERE" } else { " AND" };
    format!(
        "COPY (SELECT {}, {column}::text::oid FROM {}{local}{join} {column} IS NOT NULL) TO STDOUT",
        fields.join(", "),
        owner_joins(table, "", owner, equality)
    )
}

/// A large object, the key of whom the row belongs to that names it, and what the server says of the key.
pub type Named = (u32, Option<String>, Verdict);

/// Runs [`owner_statement`]: what the column names, as it comes.
pub async fn owners(
    session: &Session,
    table: &Table,
    column: &Column,
    owner: Option<&OwnerWays>,
) -> Result<Vec<Named>, PostgresError> {
    let equality = session.equality(owner).await?;
    let mut rows = session.copy_out(&owner_statement(table, column, owner, &equality)).await?;
    let mut lines = super::lines::Lines::new();
    let mut named = Vec::new();
    while let Some(chunk) = rows.next_chunk().await {
        lines.push(chunk?);
        while let Some(line) = lines.next_line() {
            named.push(one(&line).ok_or_else(|| PostgresError::Unexpected {
                doing: format!("reading the owners of large objects named by {}", table.name),
                reason: "a line is not a key, a verdict and an oid".to_owned(),
            })?);
        }
    }
    Ok(named)
}

fn one(line: &[u8]) -> Option<Named> {
    let (key, rest) = split_owner(line);
    let (verdict, rest) = split_owner(rest);
    let verdict = std::str::from_utf8(&verdict?).ok()?.parse().ok()?;
    let oid = std::str::from_utf8(rest).ok()?.trim_end().parse().ok()?;
    let key = key.map(|key| String::from_utf8(key.into_owned())).transpose().ok()?;
    Some((oid, key, Verdict::from_number(verdict)?))
}

/// One line of a large object's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// What it is besides its bytes.
    Properties(Box<LargeObject>),
    /// A part of its bytes.
    Bytes {
        /// The large object.
        oid: u32,
        /// Where the part begins, in bytes.
        offset: u64,
        /// The part.
        bytes: Vec<u8>,
    },
}

impl Piece {
    /// Reads a line, without its line feed; `None` if it is malformed.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let (oid, rest) = line.split_once('\t')?;
        let (what, value) = rest.split_once('\t')?;
        let oid: u32 = oid.parse().ok()?;
        if what == "m" {
            let object: LargeObject = serde_json::from_str(value).ok()?;
            (object.oid == oid).then(|| Self::Properties(Box::new(object)))
        } else {
            let offset = what.parse().ok()?;
            Some(Self::Bytes { oid, offset, bytes: hex::decode(value).ok()? })
        }
    }

    /// The large object.
    #[must_use]
    pub fn oid(&self) -> u32 {
        match self {
            Self::Properties(object) => object.oid,
            Self::Bytes { oid, .. } => *oid,
        }
    }
}
