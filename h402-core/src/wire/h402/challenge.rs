//! The body of a 402.

use super::{
    VERSION,
    refusal::shorten,
    requirements::{Reader, RequirementsIn, RequirementsOut},
};
use crate::{
    Address, Assets, Dialect, Requirements,
    wire::{SkippedOffer, WireError, json},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc};

/// What a server answers with 402.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// Why, for people.
    pub error: &'a str,
    /// How to pay, first choice first.
    pub requirements: &'a [Requirements],
    /// Who tried to pay, if that is known.
    pub payer: Option<Address>,
}

/// A 402 as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadChallenge {
    /// Why, if the server said it in words; shortened and without control characters.
    pub error: Option<String>,
    /// What it accepts, in its order; what cannot be used is there too, with the reason.
    pub offers: Vec<ReadOffer>,
}

/// One element of `accepts` as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOffer {
    /// The requirements, with the asset from the client's own table.
    ///
    /// The amount is what an EVM payer should pay: the greater of the exact price and of what servers get that
    /// compute it in floats.
    pub requirements: Result<Requirements, SkippedOffer>,
    /// Whether it is the first of its scheme and network. Reference servers check a payment against that one only.
    pub first_of_network: bool,
}

/// Writes the JSON body of a 402. Offers that h402 has no words for are left out.
///
/// # Errors
/// [`WireError::Amount`] if a price cannot be written so that every client reads it alike; offers made by
/// [`crate::Offer::new`] can.
///
/// ```
/// use h402_core::wire::h402::{Challenge, encode_challenge};
/// let body = encode_challenge(&Challenge { error: "X-PAYMENT header is required", requirements: &[], payer: None })?;
/// assert_eq!(body, br#"{"h402Version":1,"error":"X-PAYMENT header is required","accepts":[]}"#);
/// # Ok::<(), h402_core::wire::WireError>(())
/// ```
pub fn encode_challenge(challenge: &Challenge<'_>) -> Result<Vec<u8>, WireError> {
    let said = challenge.requirements.iter().filter(|requirements| requirements.offer.can_be_said_in(Dialect::H402V1));
    let accepts = said.map(RequirementsOut::new).collect::<Result<_, _>>()?;
    let payer = challenge.payer.map(|payer| payer.to_string());
    json::write(&ChallengeOut { h402_version: VERSION, error: challenge.error, accepts, payer })
}

/// A 402 that is written but for the URL of what is sold, for servers that answer it often.
///
/// ```
/// use h402_core::wire::h402::{Challenge, ChallengeTemplate};
/// let template = ChallengeTemplate::new(&Challenge { error: "payment required", requirements: &[], payer: None })?;
/// assert_eq!(template.at("https://api.example/item"), br#"{"h402Version":1,"error":"payment required","accepts":[]}"#);
/// # Ok::<(), h402_core::wire::WireError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChallengeTemplate {
    /// What stands before, between and after the URLs.
    pieces: Vec<String>,
}

impl ChallengeTemplate {
    /// Writes `challenge`, whatever URLs its requirements have.
    ///
    /// # Errors
    /// As [`encode_challenge`].
    pub fn new(challenge: &Challenge<'_>) -> Result<Self, WireError> {
        let mut requirements = challenge.requirements.to_vec();
        for requirement in &mut requirements {
            Arc::make_mut(&mut requirement.resource).url = NO_URL.to_owned();
        }
        let body = encode_challenge(&Challenge { requirements: &requirements, ..*challenge })?;
        let body = String::from_utf8(body).map_err(|_| WireError::Json)?;
        // Within a JSON text every quote is escaped, so only the member itself reads like this.
        let pieces: Vec<_> = body.split(NO_RESOURCE).map(str::to_owned).collect();
        Ok(Self { pieces })
    }

    /// The JSON body for one URL.
    #[must_use]
    pub fn at(&self, url: &str) -> Vec<u8> {
        // A string always can be written.
        let resource = format!("\"resource\":{}", serde_json::to_string(url).unwrap_or_default());
        self.pieces.join(&resource).into_bytes()
    }
}

/// Stands for a URL, which cannot be it; and how it is written.
const NO_URL: &str = "\0";
const NO_RESOURCE: &str = r#""resource":"\u0000""#;

/// Reads the JSON body of a 402. Assets are looked up in `assets` by network and address, never by symbol.
///
/// # Errors
/// [`WireError`] if it is no 402 of this version. Offers that cannot be used are no error.
///
/// ```
/// use h402_core::{Assets, wire::h402::decode_challenge};
/// let read = decode_challenge(br#"{"h402Version":1,"error":{},"accepts":{}}"#, &Assets::known())?;
/// assert!(read.error.is_none() && read.offers.is_empty());
/// # Ok::<(), h402_core::wire::WireError>(())
/// ```
pub fn decode_challenge(body: &[u8], assets: &Assets) -> Result<ReadChallenge, WireError> {
    let wire: ChallengeIn<'_> = json::read_bytes(body)?;
    if !json::is_one(wire.h402_version) {
        return Err(WireError::Version);
    }
    let mut seen: Vec<Door<'_>> = Vec::new();
    let mut offers = Vec::new();
    for element in wire.accepts.0 {
        let door = json::read(element.get()).unwrap_or_default();
        let first_of_network = !seen.contains(&door);
        let requirements = match json::read::<RequirementsIn<'_>>(element.get()) {
            Ok(wire) => wire.parse(assets, Reader::Payer),
            Err(_) => Err(SkippedOffer::Malformed("a field is missing, repeated or of the wrong type")),
        };
        seen.push(door);
        offers.push(ReadOffer { requirements, first_of_network });
    }
    Ok(ReadChallenge { error: wire.error.and_then(json::string).map(|text| shorten(&text)), offers })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChallengeOut<'a> {
    h402_version: u8,
    error: &'a str,
    accepts: Vec<RequirementsOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChallengeIn<'a> {
    #[serde(borrow)]
    h402_version: &'a RawValue,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    accepts: json::List<'a>,
}

/// By what reference servers find the option that a payment is for.
#[derive(Deserialize, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
struct Door<'a> {
    #[serde(borrow)]
    scheme: Option<Cow<'a, str>>,
    #[serde(borrow)]
    network_id: Option<Cow<'a, str>>,
}
