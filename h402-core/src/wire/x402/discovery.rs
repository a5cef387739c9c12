//! `GET /discovery/resources`: what a facilitator's operator lists, in the words of version 2.

use super::{Terms, Version, requirements::RequirementsOut};
use crate::{Address, Network, Resource, wire::WireError, wire::json};
use serde::Serialize;

/// Something that is sold, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What and where.
    pub resource: Resource,
    /// How it can be paid.
    pub terms: Vec<Terms>,
    /// When that was last changed, as a time of ISO 8601.
    pub updated: String,
}

/// Which of what is listed is asked for, and how much of it.
///
/// ```
/// use h402_core::wire::x402::Wanted;
/// let wanted = Wanted::read([("limit", "5"), ("network", "eip155:8453")])?;
/// assert_eq!(Wanted::default(), Wanted::read([("limit", "20"), ("offset", "0"), ("unknown", "x")])?);
/// assert!(Wanted::read([("limit", "101")]).is_err());
/// # Ok::<(), h402_core::wire::x402::BadQuery>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    limit: usize,
    offset: usize,
    listed_kind: bool,
    pay_to: Option<Address>,
    scheme: Option<String>,
    network: Option<Network>,
}

/// A question that cannot be answered: 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadQuery {
    /// A parameter is there twice, so that either could be meant.
    #[error("{0} is there twice")]
    Twice(&'static str),
    /// A value that the parameter cannot have.
    #[error("{0} is not {1}")]
    Value(&'static str, &'static str),
}

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 100;

impl Default for Wanted {
    /// The first twenty of all.
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT, offset: 0, listed_kind: true, pay_to: None, scheme: None, network: None }
    }
}

impl Wanted {
    /// Reads the parameters of a query: `limit` (1 to 100, 20 if it is not said), `offset`, `type` (`http` or `mcp`), `payTo`,
    /// `scheme`, `network` (CAIP-2) and `extensions`. What is not known is not looked at.
    ///
    /// # Errors
    /// [`BadQuery`].
    pub fn read<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, BadQuery> {
        let mut wanted = Self::default();
        let mut seen = Vec::new();
        for (key, value) in pairs {
            let Some(name) = NAMES.into_iter().find(|name| *name == key) else { continue };
            if seen.contains(&name) {
                return Err(BadQuery::Twice(name));
            }
            seen.push(name);
            match name {
                "limit" => {
                    let limit = number(value).filter(|limit| (1..=MAX_LIMIT).contains(limit));
                    wanted.limit = limit.ok_or(BadQuery::Value(name, "a number from 1 to 100"))?;
                }
                "offset" => wanted.offset = number(value).ok_or(BadQuery::Value(name, "a number"))?,
                "type" => match value {
                    "http" => {}
                    // Known, and not listed here.
                    "mcp" => wanted.listed_kind = false,
                    _ => return Err(BadQuery::Value(name, "http or mcp")),
                },
                "payTo" => wanted.pay_to = Some(value.parse().map_err(|_| BadQuery::Value(name, "an address"))?),
                "network" => wanted.network = Some(value.parse().map_err(|_| BadQuery::Value(name, "a CAIP-2 id of a known kind"))?),
                "scheme" => wanted.scheme = Some(value.to_owned()),
                // Nothing that is listed says that it has any.
                _ => wanted.listed_kind = false,
            }
        }
        Ok(wanted)
    }

    fn wants(&self, listed: &Listed) -> bool {
        let suits = |terms: &Terms| {
            let offer = &terms.requirements.offer;
            self.pay_to.is_none_or(|pay_to| offer.pay_to == pay_to)
                && self.network.is_none_or(|network| offer.network() == network)
                && self.scheme.as_deref().is_none_or(|scheme| offer.scheme.as_str() == scheme)
        };
        self.listed_kind && listed.terms.iter().any(suits)
    }
}

const NAMES: [&str; 7] = ["limit", "offset", "type", "payTo", "network", "scheme", "extensions"];

/// Digits and nothing else, not more than an offset can have.
fn number(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Writes the answer. Terms that version 2 has no words for are left out, and so is what then has none.
///
/// # Errors
/// None in practice; see [`WireError`].
pub fn encode_discovery(all: &[Listed], wanted: &Wanted) -> Result<Vec<u8>, WireError> {
    let items = all.iter().filter(|listed| wanted.wants(listed)).filter_map(ItemOut::new);
    let items: Vec<ItemOut<'_>> = items.collect();
    let total = items.len();
    let page = items.into_iter().skip(wanted.offset).take(wanted.limit).collect();
    let pagination = PaginationOut { limit: wanted.limit, offset: wanted.offset, total };
    json::write(&DiscoveryOut { x402_version: 2, items: page, pagination })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DiscoveryOut<'a> {
    x402_version: u8,
    items: Vec<ItemOut<'a>>,
    pagination: PaginationOut,
}

#[derive(Serialize)]
struct PaginationOut {
    limit: usize,
    offset: usize,
    total: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemOut<'a> {
    resource: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    x402_version: u8,
    accepts: Vec<RequirementsOut<'a>>,
    last_updated: &'a str,
    #[serde(skip_serializing_if = "MetadataOut::is_empty")]
    metadata: MetadataOut<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MetadataOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'a str>,
}

impl MetadataOut<'_> {
    fn is_empty(&self) -> bool {
        self.description.is_none() && self.mime_type.is_none()
    }
}

impl<'a> ItemOut<'a> {
    fn new(listed: &'a Listed) -> Option<Self> {
        let Listed { resource, terms, updated } = listed;
        let accepts: Vec<_> = terms.iter().filter_map(|terms| RequirementsOut::new(terms, Version::V2).ok()).collect();
        let metadata = MetadataOut { description: resource.description.as_deref(), mime_type: resource.mime_type.as_deref() };
        (!accepts.is_empty()).then_some(Self {
            resource: &resource.url,
            kind: "http",
            x402_version: 2,
            accepts,
            last_updated: updated,
            metadata,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_one_thing() {
        let good: [&[(&str, &str)]; 5] = [
            &[],
            &[("limit", "1"), ("offset", "999999999")],
            &[("limit", "100"), ("type", "http"), ("type ", "x")],
            &[("payTo", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"), ("network", "eip155:8453"), ("scheme", "exact")],
            &[("type", "mcp"), ("extensions", "bazaar")],
        ];
        for pairs in good {
            assert!(Wanted::read(pairs.iter().copied()).is_ok(), "{pairs:?}");
        }
        let bad: [&[(&str, &str)]; 12] = [
            &[("limit", "0")],
            &[("limit", "101")],
            &[("limit", "")],
            &[("limit", "+5")],
            &[("limit", "5.0")],
            &[("limit", "0x5")],
            &[("limit", "5"), ("limit", "5")],
            &[("offset", "-1")],
            &[("offset", "1234567890")],
            &[("type", "HTTP")],
            &[("payTo", "0x70997970c51812DC3A010C7d01b50e0d17dc79C8")],
            &[("network", "base")],
        ];
        for pairs in bad {
            assert!(Wanted::read(pairs.iter().copied()).is_err(), "{pairs:?}");
        }
    }
}
