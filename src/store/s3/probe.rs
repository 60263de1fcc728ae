//! What this bucket can do, seen with real objects.

use super::super::{Capabilities, StoreError};
use super::S3Store;

/// What the keys of probes begin with, below the prefix. No object's name can.
pub(super) const PROBES: &str = ".strongroom-probe/";

pub(super) async fn probe(_store: &S3Store) -> Result<Capabilities, StoreError> {
    Ok(Capabilities::new())
}
