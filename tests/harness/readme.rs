//! The examples of the README and the guides, compiled with the doctests.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../docs/guides/x402.md")]
struct X402Guide;

#[cfg(doctest)]
#[doc = include_str!("../../docs/guides/solana-rpc-proxy.md")]
struct SolanaRpcProxyGuide;
