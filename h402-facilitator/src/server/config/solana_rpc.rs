//! The section `[solana_rpc]`.

use super::{ConfigError, Secret, value};
use crate::{
    rpc::{Endpoint, RpcConfig},
    server::SolanaRpcConfig,
};
use serde::Deserialize;
use std::time::Duration;

/// The variable that overrides `rpc`.
const URLS: &str = "H402_SOLANA_RPC";

/// `POST /solana-rpc`; without this section there is no such path.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SolanaRpcSection {
    /// URLs of the node that is asked, first choice first. `H402_SOLANA_RPC` (comma-separated) overrides them.
    #[serde(default)]
    pub rpc: Vec<Secret>,
    /// Whether `sendTransaction` is passed on, too.
    #[serde(default)]
    pub allow_send: bool,
    /// Most calls in one request.
    pub max_batch: Option<u32>,
    /// Calls a second that one client may make.
    pub calls_per_client: Option<u32>,
    /// Calls a second for all clients together.
    pub calls_overall: Option<u32>,
    /// Milliseconds that the node has for an answer.
    pub timeout_ms: Option<u64>,
    /// Longest answer in bytes.
    pub max_answer: Option<usize>,
}

impl SolanaRpcSection {
    /// The section with the environment's say, as the proxy takes it.
    ///
    /// # Errors
    /// [`ConfigError::Value`], naming the key.
    pub fn proxy(&self, env: impl Fn(&str) -> Option<String>) -> Result<SolanaRpcConfig, ConfigError> {
        let urls = match env(URLS) {
            Some(urls) => urls.split(',').map(|url| Secret(url.trim().to_owned())).collect(),
            None => self.rpc.clone(),
        };
        let endpoints = urls.iter().map(|Secret(url)| url.parse::<Endpoint>().map_err(|why| value("solana_rpc rpc", why)));
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err(value("solana_rpc rpc", format!("at least one URL is needed, here or in {URLS}")));
        }
        let defaults = SolanaRpcConfig::new(RpcConfig::new(endpoints));
        let some = |key: &str, given: Option<u32>, default| match given {
            Some(0) => Err(value(format!("solana_rpc {key}"), "0 would answer nobody; leave the section out instead")),
            given => Ok(given.unwrap_or(default)),
        };
        let upstream = RpcConfig {
            timeout: self.timeout_ms.map_or(defaults.upstream.timeout, |millis| Duration::from_millis(millis.max(10))),
            max_body: self.max_answer.unwrap_or(defaults.upstream.max_body),
            ..defaults.upstream
        };
        Ok(SolanaRpcConfig {
            upstream,
            allow_send: self.allow_send,
            max_batch: some("max_batch", self.max_batch, defaults.max_batch)?,
            per_client: some("calls_per_client", self.calls_per_client, defaults.per_client)?,
            overall: some("calls_overall", self.calls_overall, defaults.overall)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn proxy(section: &str, urls: Option<&str>) -> Result<SolanaRpcConfig, ConfigError> {
        let config: Config = format!("[solana_rpc]\n{section}").parse()?;
        config.solana_rpc.unwrap().proxy(|name| urls.filter(|_| name == URLS).map(str::to_owned))
    }

    #[test]
    fn without_the_section_there_is_no_proxy() {
        assert!("".parse::<Config>().unwrap().solana_rpc.is_none());
    }

    #[test]
    fn what_is_left_out_is_as_usual_and_sending_is_off() {
        let usual = proxy(r#"rpc = ["https://rpc.example/key"]"#, None).unwrap();
        assert_eq!((usual.allow_send, usual.max_batch, usual.per_client, usual.overall), (false, 20, 10, 200));
        assert_eq!((usual.upstream.timeout, usual.upstream.max_body), (Duration::from_secs(5), 1 << 20));
        let all = "allow_send = true\nmax_batch = 1\ncalls_per_client = 2\ncalls_overall = 3\ntimeout_ms = 4000\nmax_answer = 5";
        let set = proxy(all, Some("https://a.example/one, https://b.example/two")).unwrap();
        assert_eq!((set.allow_send, set.max_batch, set.per_client, set.overall), (true, 1, 2, 3));
        assert_eq!((set.upstream.timeout, set.upstream.max_body), (Duration::from_secs(4), 5));
        assert_eq!(format!("{:?}", set.upstream.endpoints), "[Endpoint(https://a.example), Endpoint(https://b.example)]");
    }

    #[test]
    fn what_is_wrong_is_named_and_not_shown() {
        let cases = [
            ("", "solana_rpc rpc: at least one URL"),
            (r#"rpc = ["ftp://secret.example"]"#, "solana_rpc rpc: RPC endpoint: scheme"),
            ("rpc = [\"https://rpc.example/key\"]\nmax_batch = 0", "solana_rpc max_batch: 0"),
            ("rpc = [\"https://rpc.example/key\"]\ncalls_per_client = 0", "solana_rpc calls_per_client: 0"),
            ("rpc = [\"https://rpc.example/key\"]\ncalls_overall = 0", "solana_rpc calls_overall: 0"),
            ("rpc = [\"https://rpc.example/key\"]\nallow_sending = true", "line 3: unknown field `allow_sending`"),
        ];
        for (section, words) in cases {
            let error = proxy(section, None).unwrap_err().to_string();
            assert!(error.starts_with(words) && !error.contains("secret"), "{section}: {error}");
        }
    }
}
