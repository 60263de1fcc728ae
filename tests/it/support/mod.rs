//! What the integration tests share: one temporary PostgreSQL for a test process, a database a test.

pub mod amazon;
pub mod answering;
pub mod prepare;
pub mod proxy;
pub mod python;
pub mod redact;
pub mod s3_server;
pub mod sandbox;
pub mod tools;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use strongroom::postgres::temporary::{TemporaryCluster, TemporaryOptions, find_server};
use strongroom::postgres::{ConnectionSettings, Session};

/// The password of the shared server's superuser.
pub const PASSWORD: &str = "only for tests";

/// Everything that a real application's database has; needs a superuser.
pub const EVERYTHING: &str = include_str!("../../fixtures/everything.sql");

/// The environment variable that names the folder of the server to test with (`initdb`, `postgres`);
/// without it, the newest on this machine. `tests/matrix/run` sets it.
pub const SERVER_VARIABLE: &str = "STRONGROOM_TEST_SERVER";

/// A server of the version to test with.
pub fn server(password: &str) -> TemporaryOptions {
    let given = std::env::var_os(SERVER_VARIABLE).filter(|folder| !folder.is_empty());
    TemporaryOptions { binaries: given.map(PathBuf::from), ..TemporaryOptions::new(password) }
}

/// The server that all tests of this process share. It stops when the process ends, however it does
/// (see `temporary.rs`), so it may be a static variable.
pub fn cluster() -> &'static TemporaryCluster {
    static CLUSTER: OnceLock<TemporaryCluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let options = server(PASSWORD);
        prepare::prepared();
        prepare::needed("a PostgreSQL server", options.binaries.clone().or_else(find_server));
        TemporaryCluster::start(&options).unwrap()
    })
}

/// A database of one test, empty at first. Dropped with whoever is still connected.
pub struct TestDatabase {
    pub name: String,
    pub url: String,
}

/// A fresh, empty database.
pub fn database() -> TestDatabase {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    cluster().create_database(&name).unwrap();
    TestDatabase { url: cluster().url(&name), name }
}

/// A database with the fixture in it.
pub async fn everything() -> TestDatabase {
    let database = database();
    database.session().await.batch("the fixture", EVERYTHING).await.unwrap();
    database
}

impl TestDatabase {
    pub fn settings(&self) -> ConnectionSettings {
        ConnectionSettings::parse_with(&self.url, &|_| None).unwrap()
    }

    pub async fn session(&self) -> Session {
        Session::connect(&self.settings()).await.unwrap()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let _ = cluster().drop_database(&self.name);
    }
}
