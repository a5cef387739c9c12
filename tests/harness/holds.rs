//! Holds in memory, for stores of tests that several facilitators share.

use h402_core::{Amount, HoldAnswer, HoldAsk, PaymentKey, UnixMillis};
use std::{collections::BTreeMap, sync::Mutex};

/// What payments promise of their payers' balances. What is claimed of them is for the store to say.
#[derive(Debug, Default)]
pub struct Holds(Mutex<BTreeMap<PaymentKey, (HoldAsk, UnixMillis)>>);

impl Holds {
    /// Holds a payment, and answers the other holds of its payer that `is_claimed` does not know of.
    pub fn hold(&self, ask: HoldAsk, now: UnixMillis, is_claimed: impl Fn(&PaymentKey) -> bool) -> HoldAnswer {
        let mut all = self.0.lock().unwrap();
        all.retain(|_, (_, until)| now < *until);
        let known = all.get(&ask.key).map(|(known, _)| known.exclusive);
        if ask.exclusive && known == Some(true) {
            return HoldAnswer::Taken;
        }
        let of_payer = |held: &&(HoldAsk, UnixMillis)| held.0.payer == ask.payer && held.0.asset == ask.asset && held.0.key != ask.key;
        let others: Vec<Amount> =
            all.values().filter(of_payer).filter(|(held, _)| !is_claimed(&held.key)).map(|(held, _)| held.amount).collect();
        let held = HoldAsk { exclusive: ask.exclusive || known == Some(true), ..ask };
        all.insert(ask.key, (held, now.plus(ask.ttl)));
        HoldAnswer::Held { others, is_new: known.is_none() }
    }

    /// Ends a hold.
    pub fn let_go(&self, key: &PaymentKey) {
        self.0.lock().unwrap().remove(key);
    }

    /// Whether a payment is held.
    pub fn is_held(&self, key: &PaymentKey, now: UnixMillis) -> bool {
        self.0.lock().unwrap().get(key).is_some_and(|(_, until)| now < *until)
    }
}
