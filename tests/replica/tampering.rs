//! Bad input: replicas that were cut, changed, mixed up, or are too old.
