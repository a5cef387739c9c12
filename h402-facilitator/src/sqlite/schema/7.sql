-- How far ledger and chain were compared, and what differs. `row_time` and `row_key` are of the last final payment that was
-- looked for on chain.
CREATE TABLE reconciled (
    network  TEXT PRIMARY KEY,
    block    INTEGER,
    row_time INTEGER,
    row_key  BLOB CHECK (length(row_key) = 32),
    at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE differences (
    network     TEXT NOT NULL,
    id          BLOB NOT NULL CHECK (length(id) = 32),
    kind        TEXT NOT NULL,
    tx          BLOB NOT NULL,
    payment     BLOB CHECK (length(payment) = 32),
    asset       BLOB,
    pay_to      BLOB,
    amount      BLOB CHECK (length(amount) = 32),
    found_at    INTEGER NOT NULL,
    accepted_at INTEGER,
    PRIMARY KEY (network, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX differences_open ON differences (network, found_at, id) WHERE accepted_at IS NULL;

-- The final payments of a network, in the order in which they became it.
CREATE INDEX payments_final ON payments (network, updated_at, key) WHERE state = 'final';

-- How many payments are in each state, kept by the changes themselves: what is counted is what is stored.
CREATE TABLE totals (
    network TEXT NOT NULL,
    state   TEXT NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (network, state)
) STRICT, WITHOUT ROWID;

INSERT INTO totals (network, state, count) SELECT network, state, count(*) FROM payments GROUP BY network, state;

CREATE TRIGGER payment_is_counted AFTER INSERT ON payments
BEGIN
    INSERT INTO totals (network, state, count) VALUES (NEW.network, NEW.state, 1)
    ON CONFLICT (network, state) DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER payment_is_counted_elsewhere AFTER UPDATE OF state ON payments WHEN OLD.state <> NEW.state
BEGIN
    UPDATE totals SET count = count - 1 WHERE network = OLD.network AND state = OLD.state;
    INSERT INTO totals (network, state, count) VALUES (NEW.network, NEW.state, 1)
    ON CONFLICT (network, state) DO UPDATE SET count = count + 1;
END;
