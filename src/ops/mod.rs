//! The verbs, one a file. Plaintext and ciphertext meet only here.

pub mod audit_log;
pub mod backup;
pub mod custody;
pub mod doctor;
pub mod erase;
pub mod erasures;
pub mod expire;
pub mod export;
pub mod init;
pub mod inspect;
pub mod keys;
pub mod kit;
pub mod prune;
pub mod recover;
pub mod restore;
pub mod sources;
pub mod stores;
pub mod subject_maps;
pub mod verify;
