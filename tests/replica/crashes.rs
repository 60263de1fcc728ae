//! Processes that die at each durable step, and stores that fail.
