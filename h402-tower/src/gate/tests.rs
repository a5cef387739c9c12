//! The gate before a handler, with a facilitator that does as it is told.

mod debt;
mod dialects;
mod drops;
mod facts;
mod flow;
mod headers;
pub(super) mod kit;
mod limits;
mod logs;
mod prices;
mod replay;
mod sent;
mod stack;
mod upto;
mod verdicts;
mod x402;
