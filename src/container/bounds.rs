//! How long the objects can be that are read as a whole. Their lengths come from a store, which may lie,
//! before anything of them is authenticated. (All others are read in parts, whose lengths an
//! authenticated object says.)
//!
//! Each bound is far above what any vault needs: a longer object is not what its name says.

/// The object that says whose store this is: three short fields.
pub const MARKER_BYTES_MAX: u64 = 4 << 10;
/// A head of the catalog's replica: about 100 bytes a cell; this is enough for two million backups.
pub const HEAD_BYTES_MAX: u64 = 256 << 20;
/// A manifest: the schema, a summary of each relation, the names of packs, patterns.
pub const MANIFEST_BYTES_MAX: u64 = 256 << 20;
