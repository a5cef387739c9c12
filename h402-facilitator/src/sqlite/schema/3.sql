-- Who drives a network. A holder that gave its lease back is null; the epoch stays, and grows by one for the next.
CREATE TABLE leases (
    network TEXT PRIMARY KEY,
    holder  BLOB CHECK (length(holder) = 16),
    epoch   INTEGER NOT NULL,
    until   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What a transaction has cost, once that is known.
ALTER TABLE transactions ADD COLUMN cost BLOB CHECK (length(cost) = 32);

CREATE INDEX transactions_spent ON transactions (network, sender, signed_at, cost) WHERE cost IS NOT NULL;
