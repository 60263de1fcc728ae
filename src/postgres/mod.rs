//! All that strongroom says to a PostgreSQL server or to PostgreSQL's own tools. Knows nothing of
//! keys, backups or stores.
//!
//! | room | what it does |
//! |---|---|
//! | [`connect`] | where a database is, how to log in, encryption, one connection set up to read everything; locks |
//! | [`schema`] | the catalogs of a live database as the values of [`crate::base::schema`]; what a restore asks |
//! | [`rows`] | rows and large objects out and in, each with its owner's key; values as the server prints them |
//! | [`tools`] | `pg_dump` for the schema and `pg_restore` to make it again |
//! | [`temporary`] | a throw-away server for the demonstration and the tests |

pub mod connect;
pub mod error;
pub mod rows;
pub mod schema;
pub mod temporary;
pub mod tools;

pub use connect::locks::Lockable;
pub use connect::session::{Session, SnapshotId};
pub use connect::url::{ConnectionSettings, SslMode};
pub use error::PostgresError;
pub use rows::copy::{CopyFormat, CopyIn, CopyOut, Part, TableRead};
pub use schema::describe;
