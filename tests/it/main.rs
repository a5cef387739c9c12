//! End-to-end tests, in one binary.
#![allow(clippy::type_complexity, reason = "tables of cases are arrays of tuples of closures")]

mod captures;
mod chains;
mod corpus;
mod crash;
mod facilitator;
mod gate;
mod golden;
mod postgres;
mod proxy;
mod reference;
mod settle;
mod solana;
mod store;
mod torture;
