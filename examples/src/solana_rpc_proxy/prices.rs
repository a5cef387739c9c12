//! What each method costs.

use super::{
    Calls,
    calls::{BadCall, Call},
};
use alloy_primitives::U256;
use bytes::Bytes;
use h402_core::{Address, Amount, AmountError, Asset, Flow, Offer, OfferError, Offers, Peg};
use h402_tower::gate::{PriceError, PriceVersion, PricedOffers, Pricing, Quote};
use http::request::Parts;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Dollars are counted in millionths of a millionth until they are turned into an asset.
const DOLLAR_DECIMALS: u8 = 12;

/// One way to be paid: in this asset, to that address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// With what.
    pub asset: Arc<Asset>,
    /// Who is paid.
    pub pay_to: Address,
    /// How much of the asset counts as a dollar, in its smallest unit, if it is not pegged to the dollar.
    pub per_dollar: Option<Amount>,
}

/// What is sold at which price, before it is checked. Prices are dollars as text, such as `"0.0001"`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tariff {
    /// What a method costs that is not named: dollars, `free` or `deny`.
    pub default: String,
    /// Methods that cost nothing.
    pub free: Vec<String>,
    /// Methods that are not passed on.
    pub deny: Vec<String>,
    /// Methods that are paid for before they are passed on.
    pub upfront: Vec<String>,
    /// Methods with prices of their own.
    pub methods: BTreeMap<String, String>,
    /// The least that a request costs unless all of it is free, in dollars: what makes one payment worth its fee.
    pub minimum: Option<String>,
}

/// Why there is no price table.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TariffError {
    /// A price that is no number, or not one in every asset.
    #[error("price of {method}: {why}")]
    Price {
        /// Whose price, `default` for all others.
        method: String,
        /// What is wrong.
        why: String,
    },
    /// A method is in two lists that contradict each other.
    #[error("{method} is {one} and {other}")]
    Contradiction {
        /// Which.
        method: String,
        /// The one list.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// An asset's worth in dollars is not known.
    #[error("{symbol} is not pegged to the dollar; say in `per_dollar` how much of it counts as one")]
    NoRate {
        /// Which.
        symbol: String,
    },
    /// A rate for an asset that needs none.
    #[error("{symbol} is pegged to the dollar and needs no `per_dollar`")]
    NeedlessRate {
        /// Which.
        symbol: String,
    },
    /// Offers that cannot stand beside each other.
    #[error(transparent)]
    Offers(#[from] OfferError),
}

/// The price of every method.
///
/// ```
/// use h402_core::{Assets, Network};
/// use h402_examples::solana_rpc_proxy::{Accepted, PriceTable, Tariff};
/// let usdc = Assets::known().by_symbol(Network::Evm(8453), "USDC").expect("in the table").clone();
/// let pay_to = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse()?;
/// let tariff = Tariff { default: "0.0001".into(), upfront: vec!["sendTransaction".into()], ..Tariff::default() };
/// let table = PriceTable::new(&tariff, &[Accepted { asset: usdc, pay_to, per_dollar: None }])?;
/// assert_eq!(table.labels().collect::<Vec<_>>(), ["sendTransaction", "other"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct PriceTable {
    named: Arc<BTreeMap<String, Row>>,
    other: Rule,
    /// The least, in each accepted asset.
    least: Arc<Vec<Amount>>,
}

#[derive(Debug)]
struct Row {
    /// Its place among the labels.
    label: usize,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    Free,
    Denied,
    Priced(Priced),
}

/// What a method costs: an amount of each accepted asset, in the same order everywhere.
#[derive(Debug, Clone)]
struct Priced {
    amounts: Arc<Vec<Amount>>,
    /// What a request for it alone costs.
    alone: PricedOffers,
}

impl PriceTable {
    /// Checks a tariff.
    ///
    /// # Errors
    /// [`TariffError`].
    pub fn new(tariff: &Tariff, accepted: &[Accepted]) -> Result<Self, TariffError> {
        contradictions(tariff)?;
        let least = match &tariff.minimum {
            Some(dollars) => amounts("minimum", dollars, accepted)?,
            None => vec![Amount::ZERO; accepted.len()],
        };
        let upfront: BTreeSet<&str> = tariff.upfront.iter().map(String::as_str).collect();
        let rule = |method: &str, price: &str| -> Result<Rule, TariffError> {
            match price {
                "free" => Ok(Rule::Free),
                "deny" => Ok(Rule::Denied),
                dollars => {
                    let flow = if upfront.contains(method) { Flow::Upfront } else { Flow::Capture };
                    let amounts = amounts(method, dollars, accepted)?;
                    let offers = Arc::new(offers(method, &at_least(&amounts, &least), accepted)?);
                    Ok(Rule::Priced(Priced { amounts: Arc::new(amounts), alone: PricedOffers { offers, flow } }))
                }
            }
        };
        let other = rule("default", &tariff.default)?;
        let mut rules = BTreeMap::new();
        for method in &tariff.upfront {
            rules.insert(method.clone(), rule(method, &tariff.default)?);
        }
        for (method, price) in &tariff.methods {
            rules.insert(method.clone(), rule(method, price)?);
        }
        rules.extend(tariff.free.iter().map(|method| (method.clone(), Rule::Free)));
        rules.extend(tariff.deny.iter().map(|method| (method.clone(), Rule::Denied)));
        for method in &tariff.upfront {
            if !matches!(rules.get(method), Some(Rule::Priced(_))) {
                return Err(TariffError::Contradiction { method: method.clone(), one: "upfront", other: "free or denied" });
            }
        }
        let named = rules.into_iter().enumerate().map(|(label, (method, rule))| (method, Row { label, rule })).collect();
        Ok(Self { named: Arc::new(named), other, least: Arc::new(least) })
    }

    /// The methods by name, then `other`: all that is ever told about a call in a metric.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str).chain(["other"])
    }

    /// The place of a method among the labels.
    #[must_use]
    pub fn label(&self, method: &str) -> usize {
        self.named.get(method).map_or(self.named.len(), |row| row.label)
    }

    /// Refuses a request with a call that is not passed on.
    ///
    /// # Errors
    /// [`BadCall`], for the first such call.
    pub fn check(&self, calls: &Calls) -> Result<(), BadCall> {
        match calls.iter().find(|call| matches!(self.rule(call), Rule::Denied)) {
            Some(call) => Err(BadCall::denied(call, !calls.is_batch())),
            None => Ok(()),
        }
    }

    /// What a request costs: the sum of its calls and no less than the minimum, upfront if one of them is.
    ///
    /// # Errors
    /// [`PriceError::NotFound`] if a call is denied, [`PriceError::BadRequest`] if no asset can express the sum.
    pub fn quote(&self, calls: &Calls) -> Result<Quote, PriceError> {
        let mut priced: Vec<&Priced> = Vec::new();
        for call in calls.iter() {
            match self.rule(call) {
                Rule::Free => {}
                Rule::Denied => return Err(PriceError::NotFound),
                Rule::Priced(price) => priced.push(price),
            }
        }
        match priced.as_slice() {
            [] => Ok(Quote::Free),
            [price] => Ok(Quote::Offers(price.alone.clone())),
            several => sum(several, &self.least),
        }
    }

    fn rule(&self, call: &Call) -> &Rule {
        self.named.get(&call.method).map_or(&self.other, |row| &row.rule)
    }
}

/// The proxy has read the request before the gate asks what it costs.
impl Pricing for PriceTable {
    fn price(&self, _: PriceVersion, request: &Parts, _: Option<&Bytes>) -> Result<Quote, PriceError> {
        self.quote(request.extensions.get::<Arc<Calls>>().ok_or(PriceError::Unavailable)?)
    }

    /// What was read is the body, so a payment is bound to it.
    fn reads_body(&self) -> bool {
        true
    }
}

/// An asset that cannot express the sum so that every client reads it alike is left out.
fn sum(prices: &[&Priced], least: &[Amount]) -> Result<Quote, PriceError> {
    let too_much = || PriceError::BadRequest("the batch costs an amount that no accepted asset expresses; split it".to_owned());
    let first = prices.first().ok_or_else(too_much)?;
    let mut sums = vec![Amount::ZERO; least.len()];
    for price in prices {
        for (sum, amount) in sums.iter_mut().zip(price.amounts.iter()) {
            *sum = sum.checked_add(*amount).ok_or_else(too_much)?;
        }
    }
    let mut offers = Vec::new();
    for (offer, amount) in first.alone.offers.iter().zip(at_least(&sums, least)) {
        if amount.to_wire(offer.asset.decimals).is_ok() {
            let mut offer = Offer::clone(offer);
            offer.amount = amount;
            offers.push(Arc::new(offer));
        }
    }
    let quote = Quote::offers(Offers::new(offers).map_err(|_| too_much())?);
    let upfront = prices.iter().any(|price| price.alone.flow == Flow::Upfront);
    Ok(if upfront { quote.upfront() } else { quote })
}

fn at_least(amounts: &[Amount], least: &[Amount]) -> Vec<Amount> {
    amounts.iter().zip(least).map(|(amount, least)| *amount.max(least)).collect()
}

fn contradictions(tariff: &Tariff) -> Result<(), TariffError> {
    let named = |list: &[String]| list.iter().cloned().collect::<BTreeSet<String>>();
    let priced: BTreeSet<String> = tariff.methods.keys().cloned().collect();
    let lists = [("free", named(&tariff.free)), ("denied", named(&tariff.deny)), ("priced", priced)];
    for (at, (one, methods)) in lists.iter().enumerate() {
        for (other, more) in lists.iter().skip(at + 1) {
            if let Some(method) = methods.intersection(more).next() {
                return Err(TariffError::Contradiction { method: method.clone(), one, other });
            }
        }
    }
    Ok(())
}

fn amounts(method: &str, dollars: &str, accepted: &[Accepted]) -> Result<Vec<Amount>, TariffError> {
    let mut amounts = Vec::new();
    for way in accepted {
        let why = |error| TariffError::Price { method: method.to_owned(), why: format!("{dollars:?} in {}: {error}", way.asset.symbol) };
        amounts.push(amount(dollars, way)?.map_err(why)?);
    }
    Ok(amounts)
}

fn offers(method: &str, amounts: &[Amount], accepted: &[Accepted]) -> Result<Offers, TariffError> {
    let mut offers = Vec::new();
    for (way, amount) in accepted.iter().zip(amounts) {
        let why = |error: OfferError| TariffError::Price { method: method.to_owned(), why: error.to_string() };
        offers.push(Arc::new(Offer::new(way.asset.clone(), *amount, way.pay_to).map_err(why)?));
    }
    Ok(Offers::new(offers)?)
}

/// Dollars as an amount of an asset: exactly where it is pegged, rounded up to its smallest unit where it has a rate.
fn amount(dollars: &str, way: &Accepted) -> Result<Result<Amount, AmountError>, TariffError> {
    let symbol = || way.asset.symbol.clone();
    match (way.asset.peg, way.per_dollar) {
        (Some(Peg::Usd), None) => Ok(Amount::from_units(dollars, way.asset.decimals)),
        (Some(_), _) => Err(TariffError::NeedlessRate { symbol: symbol() }),
        (None, None) => Err(TariffError::NoRate { symbol: symbol() }),
        (None, Some(rate)) => Ok(Amount::from_units(dollars, DOLLAR_DECIMALS).and_then(|dollars| {
            let product = dollars.to_u256().checked_mul(rate.to_u256()).ok_or(AmountError::TooLarge)?;
            let dollar = U256::from(10).pow(U256::from(DOLLAR_DECIMALS));
            Ok(Amount::from(product.div_ceil(dollar)))
        })),
    }
}

#[cfg(test)]
mod tests;
