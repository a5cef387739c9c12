//! End-to-end tests, in one binary.

mod settle;
mod store;
