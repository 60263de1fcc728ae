//! Recoveries: what comes back, and what is refused.
