//! Money as integers: amounts in an asset's smallest unit, read exactly from decimal text.

use alloy_primitives::U256;
use core::fmt;

/// An amount of some asset in its smallest unit (USDC: 1 = 0.000001).
///
/// There is no conversion from a float and no arithmetic that can wrap.
///
/// ```
/// use h402_core::Amount;
/// let price = Amount::from_units("0.01", 6)?;
/// assert_eq!(price, Amount::from_atomic(10_000));
/// assert_eq!(price.to_units(6), "0.01");
/// # Ok::<(), h402_core::AmountError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(U256);

/// Why a text is not an amount.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not `digits[.digits][e±digits]`, or an exponent outside −30…+80, or longer than 96 bytes.
    #[error("not a decimal number")]
    Syntax,
    /// More fraction digits than the asset has; nothing is ever rounded.
    #[error("more fraction digits than the asset's {decimals} decimals")]
    Precision {
        /// Decimals of the asset.
        decimals: u8,
    },
    /// Zero is not a price.
    #[error("amount is zero")]
    Zero,
    /// Does not fit 256 bits.
    #[error("amount does not fit 256 bits")]
    TooLarge,
    /// A client that reads the price as a 64-bit float would pay another amount.
    #[error("a client reading this as a 64-bit float would pay another amount; the nearest price all clients agree on is {nearest}")]
    NotExactAsFloat {
        /// The nearest amount, in token units, that every client reads alike.
        nearest: String,
    },
}

const MAX_TEXT: usize = 96;
/// Above this a JSON number loses units in clients that read it as a float (2^53 − 1).
const MAX_SAFE_INTEGER: u64 = 9_007_199_254_740_991;

impl Amount {
    /// Nothing; the sum of no payments.
    pub const ZERO: Self = Self(U256::ZERO);

    /// Takes an amount in the smallest unit.
    #[must_use]
    pub fn from_atomic(atomic: u128) -> Self {
        Self(U256::from(atomic))
    }

    /// Reads an amount in the smallest unit: `0` or digits without a leading zero, at most 78.
    ///
    /// # Errors
    /// [`AmountError::Syntax`] for any other spelling (`1e4`, `0x10`, `+1`, ` 1`, `01`, `1.0`),
    /// [`AmountError::TooLarge`] above 2^256 − 1.
    pub fn from_atomic_text(text: &str) -> Result<Self, AmountError> {
        let canonical = match text.as_bytes() {
            [b'0'] => true,
            [b'1'..=b'9', rest @ ..] => rest.len() < 78 && rest.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        if !canonical {
            return Err(AmountError::Syntax);
        }
        digits(text.bytes()).map(Self)
    }

    /// Reads `"0.01"` for an asset with `decimals` places. Never rounds.
    ///
    /// # Units
    /// Result in the smallest unit; text in token units, exponent form (`1e-7`) included.
    ///
    /// # Errors
    /// See [`AmountError`]; zero is refused.
    pub fn from_units(text: &str, decimals: u8) -> Result<Self, AmountError> {
        let literal = Literal::parse(text)?;
        literal.to_atomic(decimals)
    }

    /// Writes the amount in token units, without exponent and without trailing zeros.
    #[must_use]
    pub fn to_units(self, decimals: u8) -> String {
        let places = usize::from(decimals);
        let mut text = self.0.to_string();
        if text.len() <= places {
            text.insert_str(0, &"0".repeat(places + 1 - text.len()));
        }
        if places == 0 {
            return text;
        }
        text.insert(text.len() - places, '.');
        let kept = text.trim_end_matches('0').trim_end_matches('.').len();
        text.truncate(kept);
        text
    }

    /// What a client gets that multiplies in 64-bit floats: `floor(f64(text) × 10^decimals)`.
    ///
    /// The h402 reference client does this to human-readable prices; see docs/wire.md#amount.
    ///
    /// # Errors
    /// [`AmountError::Syntax`] or [`AmountError::TooLarge`].
    #[expect(clippy::float_arithmetic, reason = "this function exists to predict float clients")]
    pub fn as_float_client_reads(text: &str, decimals: u8) -> Result<Self, AmountError> {
        Literal::parse(text)?;
        let value: f64 = text.parse().map_err(|_| AmountError::Syntax)?;
        let scale: f64 = format!("1e{decimals}").parse().map_err(|_| AmountError::Syntax)?;
        float_to_integer((value * scale).floor()).map(Self)
    }

    /// The spelling of this price that every h402 client converts back to exactly this amount.
    ///
    /// The smallest unit where the integer survives a float, else token units.
    ///
    /// # Errors
    /// [`AmountError::NotExactAsFloat`], naming the nearest amount that does; [`AmountError::Zero`].
    pub fn to_wire(self, decimals: u8) -> Result<WireAmount, AmountError> {
        if self.0.is_zero() {
            return Err(AmountError::Zero);
        }
        if self.0 <= U256::from(MAX_SAFE_INTEGER) {
            return Ok(WireAmount { literal: self.0.to_string(), format: AmountFormat::SmallestUnit });
        }
        let literal = self.to_units(decimals);
        if Self::as_float_client_reads(&literal, decimals)? == self {
            return Ok(WireAmount { literal, format: AmountFormat::HumanReadable });
        }
        let mut nearest = self;
        for _ in 0..64 {
            let read = Self::as_float_client_reads(&nearest.to_units(decimals), decimals)?;
            if read == nearest {
                break;
            }
            nearest = read;
        }
        Err(AmountError::NotExactAsFloat { nearest: nearest.to_units(decimals) })
    }

    /// Adds, or `None` beyond 256 bits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Subtracts, stopping at zero.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Whether this is zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// The integer, for call data and hashes.
    #[must_use]
    pub fn to_u256(self) -> U256 {
        self.0
    }

    /// The 32 big-endian bytes under which stores keep it.
    #[must_use]
    pub fn to_be_bytes(self) -> [u8; 32] {
        self.0.to_be_bytes()
    }

    /// Reads the 32 big-endian bytes back.
    #[must_use]
    pub fn from_be_bytes(bytes: [u8; 32]) -> Self {
        Self(U256::from_be_bytes(bytes))
    }
}

impl From<U256> for Amount {
    fn from(value: U256) -> Self {
        Self(value)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Amount({})", self.0)
    }
}

/// In which unit a price on the wire is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AmountFormat {
    /// An integer in the smallest unit.
    SmallestUnit,
    /// A decimal number of tokens.
    HumanReadable,
}

/// A price as it is written into a 402: a JSON number and its unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireAmount {
    /// The JSON number, digit for digit.
    pub literal: String,
    /// Its unit.
    pub format: AmountFormat,
}

impl WireAmount {
    /// Converts a literal read from a peer, exactly.
    ///
    /// # Errors
    /// See [`AmountError`]; a fraction in the smallest unit is [`AmountError::Precision`].
    pub fn to_amount(&self, decimals: u8) -> Result<Amount, AmountError> {
        let decimals = match self.format {
            AmountFormat::SmallestUnit => 0,
            AmountFormat::HumanReadable => decimals,
        };
        Amount::from_units(&self.literal, decimals)
    }
}

/// A parsed decimal literal: `whole.fraction × 10^exponent`.
struct Literal<'a> {
    whole: &'a str,
    fraction: &'a str,
    exponent: i32,
}

impl<'a> Literal<'a> {
    fn parse(text: &'a str) -> Result<Self, AmountError> {
        if text.len() > MAX_TEXT {
            return Err(AmountError::Syntax);
        }
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return Err(AmountError::Syntax),
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let decimal = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !decimal(whole) || !decimal(fraction) {
            return Err(AmountError::Syntax);
        }
        Ok(Self { whole, fraction, exponent })
    }

    fn to_atomic(&self, decimals: u8) -> Result<Amount, AmountError> {
        let fraction = self.fraction.trim_end_matches('0');
        let mut all = digits(self.whole.bytes().chain(fraction.bytes()))?;
        if all.is_zero() {
            return Err(AmountError::Zero);
        }
        let length = i32::try_from(fraction.len()).map_err(|_| AmountError::Syntax)?;
        let mut shift = i32::from(decimals) + self.exponent - length;
        let ten = U256::from(10);
        while shift > 0 {
            all = all.checked_mul(ten).ok_or(AmountError::TooLarge)?;
            shift -= 1;
        }
        while shift < 0 {
            let (quotient, remainder) = all.div_rem(ten);
            if !remainder.is_zero() {
                return Err(AmountError::Precision { decimals });
            }
            all = quotient;
            shift += 1;
        }
        Ok(Amount(all))
    }
}

fn parse_exponent(text: &str) -> Result<i32, AmountError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AmountError::Syntax);
    }
    let exponent: i32 = text.parse().map_err(|_| AmountError::Syntax)?;
    if (-30..=80).contains(&exponent) { Ok(exponent) } else { Err(AmountError::Syntax) }
}

fn digits(bytes: impl Iterator<Item = u8>) -> Result<U256, AmountError> {
    bytes.into_iter().try_fold(U256::ZERO, |sum, byte| {
        let digit = U256::from(byte.saturating_sub(b'0'));
        sum.checked_mul(U256::from(10)).and_then(|sum| sum.checked_add(digit)).ok_or(AmountError::TooLarge)
    })
}

/// Exact: a float at or above 2^53 is an integer already.
fn float_to_integer(value: f64) -> Result<U256, AmountError> {
    if !value.is_finite() || value.is_sign_negative() {
        return Err(AmountError::TooLarge);
    }
    let bits = value.to_bits();
    let exponent = (bits >> 52) & 0x7ff;
    let mantissa = (bits & ((1 << 52) - 1)) | if exponent == 0 { 0 } else { 1 << 52 };
    let integer = U256::from(mantissa);
    match exponent.checked_sub(1075) {
        Some(up) if up <= 203 => integer.checked_shl(usize::try_from(up).unwrap_or(256)).ok_or(AmountError::TooLarge),
        Some(_) => Err(AmountError::TooLarge),
        None => Ok(integer >> usize::try_from(1075 - exponent).unwrap_or(256)),
    }
}

#[cfg(test)]
mod tests;
