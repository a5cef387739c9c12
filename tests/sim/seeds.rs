//! Seeds that failed once, and why. They are run first, and stay here.

/// The seed, and what was wrong.
pub(crate) const ONCE_FAILED: &[(u64, &str)] = &[
    (849, "what was signed for a payment that had ended was dropped by the nodes and not sent again before the next payment came"),
    (1425, "a payment was told as failed, a reorg deeper than accept_depth brought it to the chain, and its payer was not served"),
    (1833, "a claim that the ledger had made and did not answer for, and could not be asked about, was never driven on"),
    (
        2070,
        "the oracle forgot that a block was seen which a reorg had just taken away; and what such a block had used up was sent again late, \
         and raised with payments that went on with another nonce",
    ),
    (5552, "a payment was refused before its claim, and a copy of the request that was still on its way was taken on after that"),
];
