//! End-to-end tests, in one binary.

mod facilitator;
mod gate;
mod settle;
mod store;
