//! Who takes part, and who cannot deal with whom.

/// A client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    Ours,
    FetchV2,
    AxiosV2,
    FetchV1,
    AxiosV1,
    Httpx,
    Requests,
}

impl Client {
    pub(super) const ALL: [Self; 7] = [Self::Ours, Self::FetchV2, Self::AxiosV2, Self::FetchV1, Self::AxiosV1, Self::Httpx, Self::Requests];

    /// The package it is from.
    pub(super) fn package(self) -> &'static str {
        match self {
            Self::Ours => "**h402-tower**",
            Self::FetchV2 => "@x402/fetch",
            Self::AxiosV2 => "@x402/axios",
            Self::FetchV1 => "x402-fetch",
            Self::AxiosV1 => "x402-axios",
            Self::Httpx => "x402 (PyPI), httpx",
            Self::Requests => "x402 (PyPI), requests",
        }
    }

    /// Whether it knows version 1 only.
    fn is_v1(self) -> bool {
        matches!(self, Self::FetchV1 | Self::AxiosV1)
    }
}

/// A server that is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gate {
    Ours,
    OursV1,
    ExpressV2,
    ExpressV1,
    FastApi,
}

impl Gate {
    pub(super) const ALL: [Self; 5] = [Self::Ours, Self::OursV1, Self::ExpressV2, Self::ExpressV1, Self::FastApi];

    pub(super) fn package(self) -> &'static str {
        match self {
            Self::Ours => "**h402-tower**",
            Self::OursV1 => "**h402-tower**, x402 v1 body",
            Self::ExpressV2 => "@x402/express",
            Self::ExpressV1 => "x402-express",
            Self::FastApi => "x402 (PyPI), FastAPI",
        }
    }

    pub(super) fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::OursV1)
    }
}

/// Whoever brings payments to the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Facilitator {
    Ours,
    NodeV2,
    NodeV1,
    Python,
}

impl Facilitator {
    pub(super) const ALL: [Self; 4] = [Self::Ours, Self::NodeV2, Self::NodeV1, Self::Python];

    pub(super) fn package(self) -> &'static str {
        match self {
            Self::Ours => "**h402-facilitator**",
            Self::NodeV2 => "@x402/core",
            Self::NodeV1 => "x402 (npm)",
            Self::Python => "x402 (PyPI)",
        }
    }

    /// The development account that pays for its gas and fees.
    pub(super) fn account(self) -> usize {
        match self {
            Self::NodeV2 => 0,
            Self::NodeV1 => 1,
            Self::Python => 2,
            Self::Ours => 3,
        }
    }
}

/// A kind of chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Chain {
    Evm,
    Solana,
}

impl Chain {
    pub(super) const ALL: [Self; 2] = [Self::Evm, Self::Solana];

    /// By CAIP-2.
    pub(super) fn network(self) -> &'static str {
        match self {
            Self::Evm => "eip155:84532",
            Self::Solana => "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1",
        }
    }

    /// What the programs call it, in paths and requests.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Evm => "evm",
            Self::Solana => "svm",
        }
    }
}

/// One combination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell {
    pub(super) chain: Chain,
    pub(super) facilitator: Facilitator,
    pub(super) gate: Gate,
    pub(super) client: Client,
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { chain, facilitator, gate, client } = self;
        write!(f, "{} buys through {} and {} on {chain:?}", client.package(), gate.package(), facilitator.package())
    }
}

/// Why a combination cannot work. It is tried all the same: one that works after all is a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cannot {
    /// The challenge of a gate of version 2 has the body `{}`.
    NoBody,
    /// The body of our challenge speaks h402 unless it is told otherwise.
    OtherBody,
    /// A gate of version 2 ends, or answers 500, where its facilitator knows no kind of version 2.
    NoKind,
    /// Clients of version 2, and ours, add a memo, also in version 1; a facilitator of version 1 wants three instructions.
    Memo,
}

impl Cannot {
    pub(super) const ALL: [Self; 4] = [Self::NoBody, Self::NoKind, Self::Memo, Self::OtherBody];

    /// The letter that stands for it in the table.
    pub(super) fn letter(self) -> char {
        match self {
            Self::NoBody => 'a',
            Self::NoKind => 'b',
            Self::Memo => 'c',
            Self::OtherBody => 'd',
        }
    }

    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::NoBody => {
                "gates of version 2 say what they want in `PAYMENT-REQUIRED` alone; a client of version 1 reads the body, which is `{}`"
            }
            Self::NoKind => {
                "a gate of version 2 asks its facilitator what it knows, finds nothing of version 2, and ends (`@x402/express`) or \
                 answers every request with an error (FastAPI)"
            }
            Self::Memo => {
                "clients of version 2, and ours, add a memo to the transaction, also where they speak version 1; `x402` 1.x wants exactly three instructions"
            }
            Self::OtherBody => {
                "a client of version 1 reads the body, which speaks h402 unless the gate is built `with_x402_v1_body`, as in the next row"
            }
        }
    }
}

impl Cell {
    /// Why it cannot work, if it cannot.
    pub(super) fn cannot(self) -> Option<Cannot> {
        let Self { chain, facilitator, gate, client } = self;
        let is_v2 = matches!(gate, Gate::ExpressV2 | Gate::FastApi);
        if is_v2 && facilitator == Facilitator::NodeV1 {
            return Some(Cannot::NoKind);
        }
        if is_v2 && client.is_v1() {
            return Some(Cannot::NoBody);
        }
        if gate == Gate::Ours && client.is_v1() {
            return Some(Cannot::OtherBody);
        }
        if facilitator == Facilitator::NodeV1 && chain == Chain::Solana && !client.is_v1() {
            return Some(Cannot::Memo);
        }
        None
    }
}
