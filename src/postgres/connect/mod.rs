//! Where a database is, how to log in, and one connection.

mod endpoint;
pub mod locks;
mod merged;
mod passfile;
mod service;
pub mod session;
pub mod tls;
pub mod url;
mod url_text;
pub mod waiting;
