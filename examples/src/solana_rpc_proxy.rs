//! A proxy that sells the methods of any Solana RPC endpoint by the call.
//!
//! ```text
//! request → HTTP, JSON-RPC (calls) → price by method (prices) → h402's gate → upstreams (forward, upstream)
//!                                                                   ↑ what the answer's first 8 KiB say (verdict)
//! ```
//!
//! `docs/guides/solana-rpc-proxy.md` is for running it; `proxy.rs` is where to begin reading.

mod answer;
mod calls;
mod config;
mod forward;
mod metrics;
mod prices;
mod proxy;
mod serve;
mod upstream;
mod verdict;

pub use answer::{Answer, BrokeOff};
pub use calls::{BadCall, Call, Calls};
pub use config::{AcceptSection, Config, ConfigError, FacilitatorSection, PriceSection, Url};
pub use metrics::{Metrics, Outcome};
pub use prices::{Accepted, PriceTable, Tariff, TariffError};
pub use proxy::{Settings, routes};
pub use serve::{metrics_routes, serve};
pub use upstream::{UpstreamCount, Upstreams};
pub use verdict::{Judge, PREFIX, Verdict};

use forward::Forwarded;
