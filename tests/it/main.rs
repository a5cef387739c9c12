//! End-to-end tests, in one binary.

mod facilitator;
mod settle;
mod store;
