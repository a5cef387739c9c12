//! The story, step by step, as a newcomer would want to see it.

mod solana;

use crate::{
    house::{self, House},
    say,
};
use alloy_primitives::{B256, U256};
use bytes::Bytes;
use h402_core::{Amount, Authorization, Clock, Dialect, EvmKey, Network, Payload, PaymentPayload, Scheme, wire::h402};
use h402_facilitator::SystemClock;
use h402_tower::pay::Paid;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};

type Error = Box<dyn std::error::Error>;

pub(crate) async fn tell(house: &House) -> Result<(), Error> {
    on_evm(house).await?;
    solana::tell(house).await?;
    say("\nOne call, one payment, one transfer.")?;
    Ok(())
}

async fn on_evm(house: &House) -> Result<(), Error> {
    let url = format!("{}/report/lisbon", house.api);
    balances(house)?;

    say("\n1. Somebody without money asks, and is told the price")?;
    let (status, text) = read(House::client().request(get(&url)?).await?).await?;
    expect(status == StatusCode::PAYMENT_REQUIRED, "an unpaid call is answered 402")?;
    say(format!("   GET /report/lisbon -> {status}\n   {text}"))?;

    say("\n2. The agent asks. Its pay layer reads the 402, checks the price against the agent's cap, and signs")?;
    let mut answer = house.call(House::evm_wallet()?, get(&url)?).await?;
    let paid = answer.extensions_mut().remove::<Paid>().ok_or("nothing was paid")?;
    let offer = &paid.requirements.offer;
    let units = paid.amount.to_units(offer.asset.decimals);
    say(format!("   signed: EIP-3009 authorization, {units} {} from {} to {}", offer.asset.symbol, house::agent().address, offer.pay_to))?;
    say("   (a signature only: the agent sent no transaction and needs no gas)")?;

    say("\n3. The gate has the facilitator verify it, claims it, runs the handler, has it settled, and answers")?;
    let receipt = paid.receipt.clone().ok_or("the answer has no receipt")?;
    let transaction = receipt.transaction.ok_or("the receipt names no transaction")?;
    let (status, text) = read(answer).await?;
    expect(status == StatusCode::OK, "a paid call is answered 200")?;
    say(format!("   GET /report/lisbon -> {status}\n   {}", text.trim_end()))?;
    say(format!("   receipt (PAYMENT-RESPONSE): success {}, transaction {transaction}", receipt.success))?;
    balances(house)?;

    say("\n4. The facilitator's ledger remembers it, by payment or by transaction")?;
    let (status, text) = read(House::client().request(get(&format!("{}/payments/{transaction}", house.facilitator))?).await?).await?;
    expect(status == StatusCode::OK, "the ledger knows the payment")?;
    say(format!("   GET /payments/{transaction}\n   {text}"))?;

    say("\n5. The same payment again: the same request gets its stored answer, another one gets nothing")?;
    let again = present(&paid, &url)?;
    let (status, _) = read(house.call(House::evm_wallet()?, again).await?).await?;
    expect(status == StatusCode::OK, "the paid request may be repeated")?;
    say(format!("   GET /report/lisbon (same payment) -> {status}, not charged again"))?;
    let elsewhere = present(&paid, &format!("{}/report/porto", house.api))?;
    let (status, text) = read(house.call(House::evm_wallet()?, elsewhere).await?).await?;
    expect(status == StatusCode::CONFLICT, "a payment opens one door")?;
    say(format!("   GET /report/porto  (same payment) -> {status}\n   {text}"))?;
    balances(house)?;
    let moved = house.chain.balance_of(house.chain.usdc(), house::shop().address) - U256::from(1_000_000_000_000u64);
    expect(Amount::from(moved) == paid.amount, "exactly one payment arrived")
}

/// Leaves the house open and says what to try.
pub(crate) fn invite(house: &House) -> Result<(), Error> {
    let payment = sign(house, &format!("{}/report/lisbon", house.api))?;
    say("\nEverything stays up until Ctrl-C. Try:")?;
    say(format!("  curl -i {}/report/lisbon", house.api))?;
    say("  # a fresh payment, good for the next nine minutes and for one answer:")?;
    say(format!("  curl -i -H 'X-PAYMENT: {payment}' {}/report/lisbon", house.api))?;
    say("  # the same on Solana; while its blockhash lives, which is about a minute:")?;
    say(format!("  curl -i -H 'X-PAYMENT: {}' {}/report/lisbon", solana::sign(house)?, house.api))?;
    say(format!("  curl {}/supported", house.facilitator))?;
    say(format!("  curl {}/ready", house.facilitator))?;
    Ok(())
}

/// A payment made by hand, to show that there is no magic in the pay layer.
fn sign(house: &House, url: &str) -> Result<String, Error> {
    let key = EvmKey::from_bytes(&house::agent().secret_key)?;
    let now = SystemClock.now().seconds().0;
    let mut nonce = B256::ZERO;
    getrandom::fill(nonce.as_mut_slice())?;
    let authorization = Authorization {
        from: key.address(),
        to: house::shop().address,
        value: Amount::from_units("0.01", house.asset.decimals)?,
        valid_after: U256::from(now - 60),
        valid_before: U256::from(now + 540),
        nonce,
    };
    let domain = house.asset.eip712_domain().ok_or("the token has no EIP-3009")?;
    let payload = PaymentPayload {
        dialect: Dialect::H402V1,
        scheme: Scheme::Exact,
        network: Network::Evm(house.chain.chain_id()),
        resource: Some(url.to_owned()),
        payload: Payload::Authorization(key.sign_authorization(authorization, &domain)?),
    };
    Ok(h402::encode_payment(&payload)?)
}

fn balances(house: &House) -> std::io::Result<()> {
    let (agent, shop) = (house.balance(house::agent()), house.balance(house::shop()));
    say(format!("   balances: agent {agent} USDC, shop {shop} USDC"))
}

fn get(url: &str) -> Result<Request<Full<Bytes>>, Error> {
    Ok(Request::get(url).body(Full::default())?)
}

/// A request that presents a payment that was made before.
fn present(paid: &Paid, url: &str) -> Result<Request<Full<Bytes>>, Error> {
    let mut request = get(url)?;
    request.extensions_mut().insert(paid.payment.clone());
    Ok(request)
}

async fn read<B>(answer: http::Response<B>) -> Result<(StatusCode, String), Error>
where
    B: http_body::Body,
    B::Error: std::error::Error + 'static,
{
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await?.to_bytes();
    Ok((parts.status, String::from_utf8_lossy(&bytes).into_owned()))
}

/// The quickstart is also a test: it fails where the story is not true.
fn expect(truth: bool, claim: &str) -> Result<(), Error> {
    if truth { Ok(()) } else { Err(format!("not true: {claim}").into()) }
}
