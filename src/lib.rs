//! strongroom: the encrypted archive vault for PostgreSQL that can forget one person.
//!
//! # The map of modules
//!
//! A module may use what is below it, never what is above or beside it; `tests/alone/tidy` holds that.
//!
//! | layer | modules | what it is |
//! |---|---|---|
//! | edge | [`cli`] | what people touch; errors become hints and exit codes here |
//! | verbs | [`ops`] | one verb a file; none uses another |
//! | vault | [`vault`] | what every verb stands on; plaintext and ciphertext meet only here and above |
//! | siblings | [`container`], [`postgres`], [`store`], [`catalog`], [`audit`], [`policy`] | none imports another |
//! | keys | [`keys`], [`crypto`] | hierarchy, custodians; every HKDF label in one table |
//! | ground | [`base`] | newtypes and values; the one durable write |

pub mod audit;
pub mod base;
pub mod catalog;
pub mod cli;
pub mod container;
pub mod crypto;
pub mod keys;
pub mod ops;
pub mod policy;
pub mod postgres;
pub mod store;
pub mod vault;
