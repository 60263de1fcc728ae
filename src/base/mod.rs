//! The ground: values without behaviour of their own, and the one durable write.

pub mod clock;
pub mod digest;
pub mod durable;
pub mod ids;
pub mod memory;
pub mod progress;
pub mod random;
pub mod schema;
pub mod words;
