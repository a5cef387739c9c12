-- What failed lately is looked for at a start, and what was paid for payers on Solana.
CREATE INDEX payments_failed ON payments (network, updated_at, key) WHERE state IN ('rejected', 'reverted', 'failed', 'abandoned');
CREATE INDEX payments_signed ON payments (network, claimed_at, key) WHERE kind = 'signTransaction';
