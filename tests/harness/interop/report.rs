//! The page that says what was seen.

use super::{
    Cells, Report,
    cell::{Answers, Seen},
    parties::{Cannot, Cell, Chain, Client, Facilitator, Gate},
};
use std::{collections::BTreeSet, fmt::Write as _};

const HEAD: &str = "# Interoperability

Written by `cargo xtask interop --write`; CI runs the same and fails where this page is not what it saw. The programs of others
are the published packages, unchanged, of the versions in [package.json](../tests/interop/node/package.json) and
[requirements.in](../tests/interop/python/requirements.in). EVM chains are anvil, Solana is the cluster of `tests/devnet`.

In each cell a client buys through a gate and a facilitator, and balances are read from the chain: **paid** means 200, a receipt
whose transaction is on the chain, and exactly the price gone from payer to payee. Then come four answers of the gate, none of
which charges anybody unless it says 200:

1. to a payment of one unit less than the price, whose `accepted` says otherwise;
2. to the good payment again; `×2` where the handler ran for it a second time;
3. to a payment that comes while the facilitator is away;
4. to that one again once the facilitator is back. 200 is charged, anything else is not.

`–` is a connection that was closed. A letter is a reason why it cannot work; it was tried, and nobody was charged.
";

pub(super) fn write(cells: &Cells) -> Report {
    let mut page = HEAD.to_owned();
    let mut reasons = BTreeSet::new();
    for chain in Chain::ALL {
        let name = match chain {
            Chain::Evm => "EVM",
            Chain::Solana => "Solana",
        };
        write!(page, "\n## {name}\n\n| facilitator | gate |").unwrap();
        Client::ALL.iter().for_each(|client| write!(page, " {} |", client.package()).unwrap());
        write!(page, "\n| --- | --- |{}\n", " --- |".repeat(Client::ALL.len())).unwrap();
        for facilitator in Facilitator::ALL {
            for gate in Gate::ALL {
                write!(page, "| {} | {} |", facilitator.package(), gate.package()).unwrap();
                for client in Client::ALL {
                    let cell = match cells.get(&Cell { chain, facilitator, gate, client }) {
                        Some(Ok(Seen::Works(answers))) => works(answers),
                        Some(Ok(Seen::Cannot(why))) => {
                            reasons.insert(*why);
                            format!("{}", why.letter())
                        }
                        Some(Err(_)) | None => "failed".to_owned(),
                    };
                    write!(page, " {cell} |").unwrap();
                }
                page.push('\n');
            }
        }
    }
    page.push_str("\n## Reasons\n\n");
    for why in Cannot::ALL.iter().filter(|why| reasons.contains(why)) {
        writeln!(page, "- **{}**: {}", why.letter(), why.reason()).unwrap();
    }
    let findings = cells.iter().filter_map(|(cell, outcome)| Some(format!("{cell}: {}", outcome.as_ref().err()?))).collect();
    Report { page, findings }
}

fn works(answers: &Answers) -> String {
    let Answers { less, again, runs, away, back } = answers;
    let status = |status: &Option<u16>| status.map_or_else(|| "–".to_owned(), |status| status.to_string());
    let twice = if *runs > 1 { format!("×{runs}") } else { String::new() };
    format!("paid; {}, {}{twice}, {}, {}", status(less), status(again), status(away), status(back))
}
