//! The story once more, on Solana.

use super::{Error, expect, get, present, read};
use crate::{
    house::{self, House, SOLANA},
    say,
};
use h402_core::{
    Amount, Asset, Assets, Dialect, Offer, Payload, PaymentPayload, Scheme,
    solana::{SolanaTerms, sign_payment},
    wire::h402,
};
use h402_tower::pay::Paid;
use http::StatusCode;
use std::sync::Arc;

pub(super) async fn tell(house: &House) -> Result<(), Error> {
    let url = format!("{}/report/lisbon", house.api);
    let agent = house::solana_agent().address();
    let (shop_before, lamports_before) = (house.solana_balance(house::solana_shop().address()), house.lamports(agent));

    say("\n6. The same report on Solana. The 402 names a recent blockhash and who pays the fee, so the agent asks no node")?;
    balances(house)?;
    let mut answer = house.call(House::solana_wallet(), get(&url)?).await?;
    let paid = answer.extensions_mut().remove::<Paid>().ok_or("nothing was paid")?;
    let offer = &paid.requirements.offer;
    let units = paid.amount.to_units(offer.asset.decimals);
    say(format!("   signed: a transaction that moves {units} {} from {agent} to {}", offer.asset.symbol, offer.pay_to))?;
    say(format!("   (not sent, and good for about a minute; the facilitator, {}, signs for the fee)", house::solana_operator().address()))?;
    let transaction = sold(answer, &paid).await?;
    balances(house)?;
    expect(house.lamports(agent) == lamports_before, "the agent paid no fee")?;

    say("\n7. An agent that pays its own fee says how much it may cost")?;
    let wallet = House::solana_wallet().with_own_fee().with_max_cost(5_001);
    let mut answer = house.call(wallet, get(&url)?).await?;
    let own = answer.extensions_mut().remove::<Paid>().ok_or("nothing was paid")?;
    sold(answer, &own).await?;
    let fee = lamports_before - house.lamports(agent);
    say(format!("   the fee: {fee} lamports"))?;
    expect((1..=5_001).contains(&fee), "the fee is within its limit")?;
    balances(house)?;

    say("\n8. The ledger remembers these, too, and neither buys anything twice")?;
    let (status, text) = read(House::client().request(get(&format!("{}/payments/{transaction}", house.facilitator))?).await?).await?;
    expect(status == StatusCode::OK, "the ledger knows the payment")?;
    say(format!("   GET /payments/{transaction}\n   {text}"))?;
    for paid in [&paid, &own] {
        let (status, _) = read(house.call(House::solana_wallet(), present(paid, &url)?).await?).await?;
        expect(status == StatusCode::OK, "the paid request may be repeated")?;
        let elsewhere = present(paid, &format!("{}/report/porto", house.api))?;
        let (elsewhere, _) = read(house.call(House::solana_wallet(), elsewhere).await?).await?;
        expect(elsewhere == StatusCode::CONFLICT, "a payment opens one door")?;
        say(format!("   GET /report/lisbon (same payment) -> {status}, not charged again; GET /report/porto -> {elsewhere}"))?;
    }
    let moved = house.solana_balance(house::solana_shop().address()) - shop_before;
    expect(Some(Amount::from_atomic(moved.into())) == paid.amount.checked_add(own.amount), "exactly two payments arrived")
}

/// The report was sold; the transaction that paid for it.
async fn sold<B>(answer: http::Response<B>, paid: &Paid) -> Result<h402_core::TransactionId, Error>
where
    B: http_body::Body,
    B::Error: std::error::Error + 'static,
{
    let receipt = paid.receipt.as_ref().ok_or("the answer has no receipt")?;
    let transaction = receipt.transaction.ok_or("the receipt names no transaction")?;
    let (status, text) = read(answer).await?;
    expect(status == StatusCode::OK, "a paid call is answered 200")?;
    say(format!("   GET /report/lisbon -> {status}\n   {}", text.trim_end()))?;
    say(format!("   receipt (PAYMENT-RESPONSE): success {}, transaction {transaction}", receipt.success))?;
    Ok(transaction)
}

/// A payment made by hand.
pub(super) fn sign(house: &House) -> Result<String, Error> {
    let known = Assets::known();
    let usdc: Arc<Asset> = known.by_symbol(SOLANA, "USDC").ok_or("the built-in table has no USDC on Solana's devnet")?.clone();
    let price = Amount::from_units("0.01", usdc.decimals)?;
    let offer = Offer::new(usdc, price, house::solana_shop().address().into())?;
    let mut unique = [0; 16];
    getrandom::fill(&mut unique)?;
    let blockhash = house.cluster.latest_blockhash().0.to_bytes();
    let terms = SolanaTerms { blockhash, fee_payer: Some(house::solana_operator().address()), creates_account: false, unique };
    let signed = sign_payment(&house::solana_agent(), &offer, price, &terms)?;
    let payload = PaymentPayload {
        dialect: Dialect::H402V1,
        scheme: Scheme::Exact,
        network: SOLANA,
        resource: Some(format!("{}/report/lisbon", house.api)),
        payload: Payload::SolanaTransaction(signed),
    };
    Ok(h402::encode_payment(&payload)?)
}

fn balances(house: &House) -> std::io::Result<()> {
    let units = |of| Amount::from_atomic(house.solana_balance(of).into()).to_units(6);
    let (agent, shop) = (house::solana_agent().address(), house::solana_shop().address());
    say(format!("   balances: agent {} USDC and {} lamports, shop {} USDC", units(agent), house.lamports(agent), units(shop)))
}
