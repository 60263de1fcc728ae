//! What keeps an object from being deleted by anybody, until a moment or until further notice.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

crate::words! {
    /// How strictly a store keeps a retention date.
    RetentionMode, "retention mode",
    /// Nobody may delete before the date except who holds a permission made for it.
    Governance = "governance",
    /// Nobody may delete before the date, and nobody may bring the date nearer.
    Compliance = "compliance",
}

/// Until when an object cannot be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// How strictly.
    pub mode: RetentionMode,
    /// The moment from which on it can be deleted. Stores keep whole seconds.
    pub until: DateTime<Utc>,
}

/// What holds an object. The default holds nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// A retention date.
    pub retention: Option<Retention>,
    /// A legal hold: no end is known.
    pub legal_hold: bool,
}

impl Lock {
    /// Whether it holds at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
