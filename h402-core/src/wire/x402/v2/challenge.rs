//! `PAYMENT-REQUIRED`: what a server answers with 402.

use crate::{
    Assets, Resource,
    wire::{
        SkippedOffer, WireError, base64,
        h402::shorten,
        header, json,
        x402::{
            Accepted, Extensions, LeftOut, Terms, Version,
            requirements::{RequirementsIn, RequirementsOut},
        },
    },
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc};

/// Longest `PAYMENT-REQUIRED` that is written, in bytes: proxies drop more.
pub const MAX_CHALLENGE: usize = 4 * 1024;

/// What a server answers with 402.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// Why, for people or as a word.
    pub error: &'a str,
    /// What is sold.
    pub resource: &'a Resource,
    /// How to pay, first choice first. Their own resources are not looked at.
    pub terms: &'a [Terms],
    /// What else payers should know.
    pub extensions: &'a Extensions,
}

/// A header, and what it does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedChallenge {
    /// The value of `PAYMENT-REQUIRED`.
    pub header: String,
    /// The terms that are not in it, by their place, and why.
    pub left_out: Vec<(usize, LeftOut)>,
}

/// A 402 as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadChallenge {
    /// Why, if the server said it in words; shortened and without control characters.
    pub error: Option<String>,
    /// What is sold.
    pub resource: Arc<Resource>,
    /// What it accepts, in its order; what cannot be used is there too, with the reason.
    pub offers: Vec<ReadOffer>,
    /// To be repeated in the payment.
    pub extensions: Extensions,
}

/// One element of `accepts` as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOffer {
    /// The terms, with the asset from the client's own table.
    pub terms: Result<Terms, SkippedOffer>,
    /// The element itself, to be repeated in the payment. `None` if it is no JSON object, or repeats a field.
    pub accepted: Option<Accepted>,
}

/// Writes the header of a 402, at most [`MAX_CHALLENGE`] bytes. Terms that do not fit are left out, in their order; first to
/// go are the texts about the resource and the query of its URL, if not one of the terms fits beside them.
///
/// # Errors
/// [`WireError::TooLong`] if there are terms, and not one of them fits.
///
/// ```
/// use h402_core::{Resource, wire::x402::{Extensions, v2::{Challenge, encode_challenge}}};
/// let resource = Resource { url: "https://api.example/item".into(), ..Resource::default() };
/// let nothing = Extensions::default();
/// let challenge = Challenge { error: "Payment required", resource: &resource, terms: &[], extensions: &nothing };
/// assert!(encode_challenge(&challenge)?.header.starts_with("eyJ4NDAyVmVyc2lvbiI6Mi"));
/// # Ok::<(), h402_core::wire::WireError>(())
/// ```
pub fn encode_challenge(challenge: &Challenge<'_>) -> Result<EncodedChallenge, WireError> {
    let whole = ResourceOut::new(challenge.resource);
    let url = challenge.resource.url.split('?').next().unwrap_or_default();
    let short = ResourceOut { url, description: None, mime_type: None };
    for resource in [whole, short] {
        let (texts, left_out) = terms(challenge, &resource)?;
        if texts.is_empty() && left_out.iter().any(|(_, why)| *why == LeftOut::Room) {
            continue;
        }
        let accepts: Vec<&RawValue> = texts.iter().map(|text| &**text).collect();
        let header = base64::encode(&json::write(&ChallengeOut::new(challenge, &resource, accepts))?);
        return Ok(EncodedChallenge { header, left_out });
    }
    Err(WireError::TooLong { limit: MAX_CHALLENGE, unit: "bytes of header" })
}

/// Terms as they will stand there, and what is left out.
type Written = (Vec<Box<RawValue>>, Vec<(usize, LeftOut)>);

/// Takes terms in as long as there is room for them.
fn terms(challenge: &Challenge<'_>, resource: &ResourceOut<'_>) -> Result<Written, WireError> {
    // Three bytes become four; the length of each element and a comma is all that it adds.
    let mut room = MAX_CHALLENGE / 4 * 3;
    let rest = json::write(&ChallengeOut::new(challenge, resource, Vec::new()))?.len();
    room = room.saturating_sub(rest);
    let (mut texts, mut left_out) = (Vec::new(), Vec::new());
    for (at, terms) in challenge.terms.iter().enumerate() {
        let wire = match RequirementsOut::new(terms, Version::V2) {
            Ok(wire) => wire,
            Err(why) => {
                left_out.push((at, why));
                continue;
            }
        };
        let text = String::from_utf8(json::write(&wire)?).map_err(|_| WireError::Json)?;
        match room.checked_sub(text.len() + 1) {
            Some(left) => {
                room = left;
                texts.push(RawValue::from_string(text).map_err(|_| WireError::Json)?);
            }
            None => left_out.push((at, LeftOut::Room)),
        }
    }
    Ok((texts, left_out))
}

/// Reads the header of a 402. Assets are looked up in `assets` by network and address.
///
/// # Errors
/// [`WireError`] if it is no challenge of this version. Offers that cannot be used are no error.
pub fn decode_challenge(header: &[u8], assets: &Assets) -> Result<ReadChallenge, WireError> {
    let text = header::decode(header)?;
    let wire: ChallengeIn<'_> = json::read(&text)?;
    if !json::is(wire.x402_version, 2) {
        return Err(WireError::Version);
    }
    let resource = wire.resource.and_then(|raw| json::read::<ResourceIn<'_>>(raw.get()).ok());
    let resource = Arc::new(resource.map(ResourceIn::into_resource).unwrap_or_default());
    let offers = wire.accepts.0.into_iter().map(|element| {
        let terms = match json::read::<RequirementsIn<'_>>(element.get()) {
            Ok(wire) => wire.parse_offer(Version::V2, Some(&resource), assets),
            Err(_) => Err(SkippedOffer::Malformed("a field is missing, repeated or of the wrong type")),
        };
        ReadOffer { terms, accepted: Accepted::read(element) }
    });
    let offers = offers.collect();
    let error = wire.error.and_then(json::string).map(|text| shorten(&text));
    Ok(ReadChallenge { error, resource, offers, extensions: wire.extensions.unwrap_or_default() })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceIn<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow)]
    description: Option<Cow<'a, str>>,
    #[serde(borrow)]
    mime_type: Option<Cow<'a, str>>,
}

impl ResourceIn<'_> {
    pub(super) fn into_resource(self) -> Resource {
        Resource {
            url: self.url.into_owned(),
            description: self.description.map(Cow::into_owned),
            mime_type: self.mime_type.map(Cow::into_owned),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceOut<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'a str>,
}

impl<'a> ResourceOut<'a> {
    pub(super) fn new(resource: &'a Resource) -> Self {
        Self { url: &resource.url, description: resource.description.as_deref(), mime_type: resource.mime_type.as_deref() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChallengeOut<'a> {
    x402_version: u8,
    error: &'a str,
    resource: &'a ResourceOut<'a>,
    accepts: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<&'a Extensions>,
}

impl<'a> ChallengeOut<'a> {
    fn new(challenge: &Challenge<'a>, resource: &'a ResourceOut<'a>, accepts: Vec<&'a RawValue>) -> Self {
        Self {
            x402_version: 2,
            error: challenge.error,
            resource,
            accepts,
            extensions: Some(challenge.extensions).filter(|extensions| !extensions.is_empty()),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChallengeIn<'a> {
    #[serde(borrow)]
    x402_version: &'a RawValue,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(borrow)]
    accepts: json::List<'a>,
    extensions: Option<Extensions>,
}
