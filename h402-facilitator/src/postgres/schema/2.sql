-- How far ledger and chain were compared, and what differs. `row_time` and `row_key` are of the last final payment that was
-- looked for on chain.
CREATE TABLE reconciled (
    network  text PRIMARY KEY,
    block    bigint,
    row_time bigint,
    row_key  bytea CHECK (length(row_key) = 32),
    at       bigint NOT NULL
);

CREATE TABLE differences (
    network     text NOT NULL,
    id          bytea NOT NULL CHECK (length(id) = 32),
    kind        text NOT NULL,
    tx          bytea NOT NULL,
    payment     bytea CHECK (length(payment) = 32),
    asset       bytea,
    pay_to      bytea,
    amount      bytea CHECK (length(amount) = 32),
    found_at    bigint NOT NULL,
    accepted_at bigint,
    PRIMARY KEY (network, id)
);

CREATE INDEX differences_open ON differences (network, found_at, id) WHERE accepted_at IS NULL;

-- The final payments of a network, in the order in which they became it.
CREATE INDEX payments_final ON payments (network, updated_at, key) WHERE state = 'final';
-- For counting. Counters that every claim changed would make claims wait for each other.
CREATE INDEX payments_states ON payments (network, state);
