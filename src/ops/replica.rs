//! temporary
use super::OpsError; use super::vault::*; use crate::keys::ring::KeyRing; use crate::store::ObjectName;
pub async fn sync(_: &Vault, _: &Unlocked, _: &Writing<'_>) -> Result<(), OpsError> { Ok(()) }
pub async fn ensure_newest(_: &Vault) -> Result<(), OpsError> { Ok(()) }
pub async fn remove_superseded(_: &Vault, _: &Writing<'_>) -> Result<(), OpsError> { Ok(()) }
pub fn needed_names(_: &rusqlite::Connection) -> Result<std::collections::BTreeSet<String>, OpsError> { Ok(Default::default()) }
pub fn present_head(_: &Vault) -> Result<Option<ObjectName>, OpsError> { Ok(None) }
pub async fn opens(_: &Vault, _: &ObjectName, _: &KeyRing) -> Result<Option<bool>, OpsError> { Ok(None) }
pub fn is_behind(_: &Vault) -> Result<bool, OpsError> { Ok(false) }
