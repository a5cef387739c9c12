//! The gate before a handler, with a facilitator that does as it is told.

mod drops;
mod flow;
mod headers;
mod kit;
mod prices;
mod replay;
mod sent;
mod verdicts;
