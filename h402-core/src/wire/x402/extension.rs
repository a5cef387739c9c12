//! `extensions` of version 2, and the one that is spoken here: `payment-identifier`.

use crate::wire::{WireError, json};
use serde::{Deserialize, Serialize, Serializer, de};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap, fmt};

/// The key of the extension by which a payer names its payment.
pub const PAYMENT_IDENTIFIER: &str = "payment-identifier";
/// More extensions than this are not read.
const MAX_EXTENSIONS: usize = 16;

/// Extensions by their keys, as they were spelled: payers repeat what servers sent, whatever it is.
#[derive(Clone, Default)]
pub struct Extensions(BTreeMap<String, Box<RawValue>>);

impl Extensions {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The JSON text of one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|raw| raw.get())
    }

    /// Adds one, or replaces it.
    ///
    /// # Errors
    /// [`WireError::Json`] if `json` is not one JSON text.
    pub fn insert(&mut self, key: &str, json: String) -> Result<(), WireError> {
        let raw = RawValue::from_string(json).map_err(|_| WireError::Json)?;
        self.0.insert(key.to_owned(), raw);
        Ok(())
    }

    /// What is said about payment identifiers: `None` if nothing.
    ///
    /// ```
    /// use h402_core::wire::x402::{Extensions, PaymentIdentifier};
    /// let mut extensions = Extensions::default();
    /// extensions.set_payment_identifier(&PaymentIdentifier::asked(true))?;
    /// assert_eq!(extensions.payment_identifier(), Ok(Some(PaymentIdentifier::asked(true))));
    /// extensions.set_payment_identifier(&PaymentIdentifier::asked(true).with("order_7f3a9c2e5b1d")?)?;
    /// assert_eq!(extensions.payment_identifier()?.unwrap().id(), Some("order_7f3a9c2e5b1d"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`BadIdentifier`] if it cannot be read.
    pub fn payment_identifier(&self) -> Result<Option<PaymentIdentifier>, BadIdentifier> {
        let Some(text) = self.get(PAYMENT_IDENTIFIER) else { return Ok(None) };
        let wire: ExtensionIn<'_> = json::read(text).map_err(|_| BadIdentifier)?;
        let read = PaymentIdentifier { required: wire.info.required.unwrap_or(false), id: None };
        wire.info.id.map_or(Ok(read.clone()), |id| read.with(&id)).map(Some)
    }

    /// Says something about payment identifiers. A schema that the server sent with it is kept.
    ///
    /// # Errors
    /// None in practice; see [`WireError`].
    pub fn set_payment_identifier(&mut self, identifier: &PaymentIdentifier) -> Result<(), WireError> {
        let schema = match self.schema(PAYMENT_IDENTIFIER) {
            Some(schema) => schema,
            None => RawValue::from_string(SCHEMA.to_owned()).map_err(|_| WireError::Json)?,
        };
        let info = InfoOut { required: identifier.required, id: identifier.id.as_deref() };
        let json = json::write(&ExtensionOut { info, schema: &schema })?;
        self.insert(PAYMENT_IDENTIFIER, String::from_utf8(json).map_err(|_| WireError::Json)?)
    }

    /// The schema that came with one: payers repeat it.
    pub(super) fn schema(&self, key: &str) -> Option<Box<RawValue>> {
        let sent: SchemaIn<'_> = json::read(self.get(key)?).ok()?;
        sent.schema.map(ToOwned::to_owned)
    }
}

/// What payers are told about `id`.
const SCHEMA: &str = r#"{"type":"object","properties":{"required":{"type":"boolean"},"id":{"type":"string","minLength":16,"maxLength":128,"pattern":"^[A-Za-z0-9_-]+$"}},"required":["required"]}"#;

/// What is said about payment identifiers: by a server whether it wants one, by a payer which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentIdentifier {
    required: bool,
    id: Option<String>,
}

/// A text that is no payment identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("payment identifier is not 16 to 128 of A-Z, a-z, 0-9, _ and -")]
pub struct BadIdentifier;

impl PaymentIdentifier {
    /// What a server says.
    #[must_use]
    pub fn asked(required: bool) -> Self {
        Self { required, id: None }
    }

    /// What a payer answers.
    ///
    /// # Errors
    /// [`BadIdentifier`].
    pub fn with(self, id: &str) -> Result<Self, BadIdentifier> {
        let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if plain && (16..=128).contains(&id.len()) { Ok(Self { id: Some(id.to_owned()), ..self }) } else { Err(BadIdentifier) }
    }

    /// Whether the server refuses payments without one (400).
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// The identifier, in a payment.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// Equal to the letter.
impl PartialEq for Extensions {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(one, two)| one.0 == two.0 && one.1.get() == two.1.get())
    }
}

impl Eq for Extensions {}

/// What a peer wrote may hold a signature: keys only.
impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Serialize for Extensions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Extensions {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Extensions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("extensions by their keys")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Extensions, A::Error> {
        let mut read = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
            if read.len() == MAX_EXTENSIONS || read.insert(key, value).is_some() {
                return Err(de::Error::custom("too many extensions, or one twice"));
            }
        }
        Ok(Extensions(read))
    }
}

#[derive(Deserialize)]
struct ExtensionIn<'a> {
    #[serde(borrow)]
    info: InfoIn<'a>,
}

#[derive(Deserialize)]
struct InfoIn<'a> {
    required: Option<bool>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct SchemaIn<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct ExtensionOut<'a> {
    info: InfoOut<'a>,
    schema: &'a RawValue,
}

#[derive(Serialize)]
struct InfoOut<'a> {
    required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}
