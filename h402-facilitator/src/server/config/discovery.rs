//! The section `[discovery]`.

use super::{ConfigError, network_of, value};
use crate::server::Discovery;
use h402_core::{
    Address, Amount, Assets, Flow, Offer, Requirements, Resource,
    wire::x402::{Listed, Terms},
};
use serde::Deserialize;
use std::sync::Arc;

/// `GET /discovery/resources`; without this section there is no such path.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscoverySection {
    /// What is listed, in this order.
    #[serde(default)]
    pub resource: Vec<ResourceSection>,
}

/// One resource that others sell through this facilitator.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceSection {
    /// Its URL.
    pub url: String,
    /// What it is, for people.
    pub description: Option<String>,
    /// The type of what is sold.
    pub mime_type: Option<String>,
    /// When this was last changed, such as `2026-11-22T00:00:00Z`.
    pub updated: String,
    /// How it can be paid, first choice first.
    pub offer: Vec<OfferSection>,
}

/// One way to pay. As the resource itself asks for it: this is a copy that nobody checks a payment against.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferSection {
    /// A network that is configured here.
    pub network: String,
    /// The symbol of an asset that is accepted here.
    pub asset: String,
    /// The price in token units, as text.
    pub amount: String,
    /// Who is paid.
    pub pay_to: String,
    /// Seconds that a payment must stay valid.
    pub lifetime_s: Option<u64>,
    /// Whether it is paid through Permit2.
    #[serde(default)]
    pub permit2: bool,
    /// Whether the money moves before the work is done.
    #[serde(default)]
    pub upfront: bool,
}

impl DiscoverySection {
    /// What is listed, of the assets that are accepted here.
    ///
    /// # Errors
    /// [`ConfigError::Value`], naming the resource.
    pub fn discovery(&self, accepted: &Assets) -> Result<Discovery, ConfigError> {
        self.resource.iter().map(|section| section.listed(accepted)).collect::<Result<_, _>>().map(Discovery::new)
    }
}

impl ResourceSection {
    fn listed(&self, accepted: &Assets) -> Result<Listed, ConfigError> {
        let key = |name: &str| format!("discovery resource {} {name}", self.url);
        let url = url::Url::parse(&self.url).ok().filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
        let plain = url.is_some_and(|url| url.username().is_empty() && url.password().is_none());
        if !plain {
            return Err(value("discovery resource url", "not an http(s) URL without a user"));
        }
        if !is_utc(&self.updated) {
            return Err(value(key("updated"), "not a time such as 2026-11-22T00:00:00Z"));
        }
        if self.offer.is_empty() {
            return Err(value(key("offer"), "at least one is needed"));
        }
        let resource = Resource { url: self.url.clone(), description: self.description.clone(), mime_type: self.mime_type.clone() };
        let shared = Arc::new(resource.clone());
        let terms = self.offer.iter().map(|offer| offer.terms(&shared, accepted).map_err(|why| value(key("offer"), why)));
        Ok(Listed { resource, terms: terms.collect::<Result<_, _>>()?, updated: self.updated.clone() })
    }
}

impl OfferSection {
    fn terms(&self, resource: &Arc<Resource>, accepted: &Assets) -> Result<Terms, String> {
        let network = network_of(&self.network).map_err(|why| why.to_string())?;
        let asset = accepted.by_symbol(network, &self.asset);
        let asset = asset.ok_or_else(|| format!("{} on {network} is not accepted here", self.asset))?.clone();
        if asset.is_native() || asset.eip3009.is_none() && !self.permit2 && network_is_evm(network) {
            return Err(format!("x402 cannot move {} in this way", self.asset));
        }
        let amount = Amount::from_units(&self.amount, asset.decimals).map_err(|why| why.to_string())?;
        let pay_to: Address = self.pay_to.parse().map_err(|_| "pay_to is not an address, or its checksum is wrong".to_owned())?;
        let offer = Offer::new(asset, amount, pay_to).map_err(|why| why.to_string())?;
        let offer = Arc::new(if self.permit2 { offer.with_permit2() } else { offer });
        let lifetime_seconds = self.lifetime_s;
        let requirements = Requirements { offer, resource: resource.clone(), lifetime_seconds, solana: None, facilitator: None };
        Ok(Terms { requirements, flow: if self.upfront { Flow::Upfront } else { Flow::Capture } })
    }
}

fn network_is_evm(network: h402_core::Network) -> bool {
    matches!(network, h402_core::Network::Evm(_))
}

/// `YYYY-MM-DDThh:mm:ssZ`, with months, days and hours that there are.
fn is_utc(text: &str) -> bool {
    let pattern = b"dddd-dd-ddTdd:dd:ddZ";
    let shaped = text.len() == pattern.len()
        && text.bytes().zip(pattern).all(|(byte, wanted)| if *wanted == b'd' { byte.is_ascii_digit() } else { byte == *wanted });
    let within = |at: usize, least: u8, most: u8| {
        text.get(at..at.saturating_add(2)).and_then(|part| part.parse::<u8>().ok()).is_some_and(|part| (least..=most).contains(&part))
    };
    shaped && within(5, 1, 12) && within(8, 1, 31) && within(11, 0, 23) && within(14, 0, 59) && within(17, 0, 59)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[resource]]
url = "https://api.example/weather?city=x"
description = "Weather"
mime_type = "application/json"
updated = "2026-11-22T00:00:00Z"
[[resource.offer]]
network = "base"
asset = "USDC"
amount = "0.01"
pay_to = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
"#;

    fn read(text: &str) -> Result<Discovery, ConfigError> {
        super::super::from_toml::<DiscoverySection>(text)?.discovery(&Assets::known())
    }

    #[test]
    fn what_is_listed_can_be_paid_here() {
        assert!(read(GOOD).is_ok());
        assert!(read("").is_ok(), "nothing is listed yet");
        let bends = [
            ("https://api.example/weather", "ftp://api.example/weather"),
            ("https://api.example", "https://user:pw@api.example"),
            ("https://api.example/weather?city=x", "weather"),
            ("2026-11-22T00:00:00Z", "2026-13-22T00:00:00Z"),
            ("2026-11-22T00:00:00Z", "2026-11-22"),
            ("2026-11-22T00:00:00Z", "2026-11-22T24:00:00Z"),
            (r#""base""#, r#""nowhere""#),
            (r#""base""#, r#""eip155:31337""#),
            (r#""USDC""#, r#""ETH""#),
            (r#""0.01""#, r#""0.0000001""#),
            (r#""0.01""#, r#""0""#),
            ("0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "0x70997970c51812DC3A010C7d01b50e0d17dc79C8"),
            ("amount =", "price ="),
        ];
        for (from, to) in bends {
            let bent = GOOD.replace(from, to);
            assert_ne!(bent, GOOD, "{from}");
            assert!(read(&bent).is_err(), "{bent}");
        }
        // No secret, but a user's all the same.
        assert!(!read(&GOOD.replace("https://", "https://user:pw@")).unwrap_err().to_string().contains("pw"));
    }
}
