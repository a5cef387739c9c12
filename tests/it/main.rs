//! End-to-end tests, in one binary.

mod captures;
mod chains;
mod facilitator;
mod gate;
mod settle;
mod store;
