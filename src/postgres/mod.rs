//! All that strongroom says to a PostgreSQL server or to PostgreSQL's own tools. Knows nothing of
//! keys, backups or stores.
//!
//! | file | what it does |
//! |---|---|
//! | [`url`] | where a database is and how to log in, from a URL |
//! | [`tls`] | encryption of the connection, `sslmode` as libpq means it |
//! | [`session`] | one connection, set up so that what it reads is complete and unambiguous |
//! | `merged` | rows that come many to a message |
//! | [`describe`] | the catalogs of a live database as the values of [`crate::schema`] |
//! | [`copy`], [`lines`], [`tuples`] | rows out and in, each with its owner's key |
//! | [`values`] | binary values of built-in types as the text that the server prints |
//! | [`row_values`] | stored rows as the text of their columns |
//! | [`large_objects`] | large objects out and in, and whose they are |
//! | [`tools`] | `pg_dump` for the schema and `pg_restore` to make it again |
//! | [`target`], [`foreign_keys`] | what a restore asks of the database it writes to |
//! | [`temporary`] | a throw-away server for the demonstration and the tests |

pub mod copy;
pub mod describe;
mod endpoint;
pub mod error;
pub mod foreign_keys;
pub mod large_objects;
pub mod lines;
mod merged;
mod passfile;
pub mod row_values;
pub mod session;
pub mod target;
pub mod temporary;
pub mod tls;
pub mod tools;
pub mod tuples;
pub mod url;
mod url_text;
pub mod values;

pub use copy::{CopyFormat, CopyIn, CopyOut, Part, TableRead};
pub use describe::describe;
pub use error::PostgresError;
pub use session::{Session, SnapshotId};
pub use url::{ConnectionSettings, SslMode};
