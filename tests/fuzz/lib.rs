//! What the fuzz targets share: the fixed keys and names of `tests/vectors`.

use strongroom::base::schema::{DatabaseSchema, DatabaseSettings};

/// The identity of the vectors' backup. A published test key: it protects nothing.
pub const IDENTITY: &str =
    "AGE-SECRET-KEY-1GERYV3JXGERYV3JXGERYV3JXGERYV3JXGERYV3JXGERYV3JXGERQFRPYGF";

/// The vectors' backup.
pub const BACKUP: &str = "20261122T020000Z-3fa9c1";

/// The vectors' vault.
pub const VAULT: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

/// A database with nothing in it.
#[must_use]
pub fn empty_schema() -> DatabaseSchema {
    DatabaseSchema {
        server_version_num: 180_000,
        database: DatabaseSettings {
            name: "shop".to_owned(),
            encoding: "UTF8".to_owned(),
            collate: "C".to_owned(),
            ctype: "C".to_owned(),
            locale_provider: 'c',
            locale: None,
            icu_rules: None,
        },
        tables: Vec::new(),
        foreign_keys: Vec::new(),
        sequences: Vec::new(),
        materialized_views: Vec::new(),
        foreign_tables: Vec::new(),
        extension_tables: Vec::new(),
        large_objects: 0,
        roles: Vec::new(),
    }
}
