//! How identifiers, moments and counts stand in SQLite's columns.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use crate::base::clock::timestamp;
use crate::base::ids::{
    BackupId, Digest, Epoch, PackId, ShareSet, SourceId, SubjectReference, VaultId,
};

macro_rules! blob_column {
    ($($name:ident),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                FromSql::column_result(value).map(Self)
            }
        }
    )*};
}

blob_column!(VaultId, SourceId, PackId, ShareSet, SubjectReference, Digest);

impl ToSql for BackupId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for BackupId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        parsed(value)
    }
}

impl ToSql for Epoch {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        integer(self.0)
    }
}

impl FromSql for Epoch {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Count::column_result(value).map(|count| Self(count.0))
    }
}

/// A number of things, or of bytes: never negative.
pub(super) struct Count(pub u64);

impl ToSql for Count {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        integer(self.0)
    }
}

impl FromSql for Count {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        u64::try_from(number).map(Self).map_err(|_| FromSqlError::OutOfRange(number))
    }
}

/// A moment as text. It is cut to whole microseconds.
pub(super) struct Moment(pub DateTime<Utc>);

impl ToSql for Moment {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(timestamp(self.0).into())
    }
}

impl FromSql for Moment {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        DateTime::parse_from_rfc3339(value.as_str()?)
            .map(|moment| Self(moment.with_timezone(&Utc)))
            .map_err(FromSqlError::other)
    }
}

/// Reads a text column by its type's own rules.
pub(super) fn parsed<T>(value: ValueRef<'_>) -> FromSqlResult<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    value.as_str()?.parse().map_err(FromSqlError::other)
}

fn integer<'a>(number: u64) -> rusqlite::Result<ToSqlOutput<'a>> {
    match i64::try_from(number) {
        Ok(number) => Ok(number.into()),
        Err(error) => Err(rusqlite::Error::ToSqlConversionFailure(Box::new(error))),
    }
}
