//! A backup beside an application that goes on: locks and who waits for them, poolers, and what `pg_dump`
//! would have kept.

mod kept;
mod locks;
