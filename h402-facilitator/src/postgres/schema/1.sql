-- Times are milliseconds since 1970, UTC. Amounts are 32 bytes, big-endian. Addresses are 20 bytes (EVM) or
-- 32 (Solana), transaction identifiers 32 or 64. Networks are CAIP-2.

CREATE TABLE h402_schema (
    id      integer PRIMARY KEY CHECK (id = 1),
    version bigint NOT NULL
);

-- The facilitator's ledger. A row is never deleted.
CREATE TABLE payments (
    key         bytea PRIMARY KEY CHECK (length(key) = 32),
    network     text NOT NULL,
    asset       bytea NOT NULL,
    payer       bytea NOT NULL,
    pay_to      bytea NOT NULL,
    amount      bytea NOT NULL CHECK (length(amount) = 32),
    kind        text NOT NULL,
    nonce       bytea,
    caller      bytea,
    state       text NOT NULL,
    open        boolean NOT NULL,
    tx          bytea,
    block       bigint,
    block_hash  bytea,
    answer      text,
    answer_word text,
    answer_text text,
    expires_at  bigint,
    last_height bigint,
    raw         bytea,
    claimed_at  bigint NOT NULL,
    updated_at  bigint NOT NULL,
    version     bigint NOT NULL
);

CREATE INDEX payments_unfinished ON payments (network, claimed_at, key) WHERE open;
CREATE INDEX payments_untouched ON payments (network, key) WHERE open AND version = 1;
CREATE INDEX payments_failed ON payments (network, updated_at, key) WHERE state IN ('rejected', 'reverted', 'failed', 'abandoned');
CREATE INDEX payments_signed ON payments (network, claimed_at, key) WHERE kind = 'signTransaction';

-- Every taken key: those of payments, their other names, and the transactions that keys of ours signed, which no
-- payment owns. One table and one index, so that of two who take a key at once one waits for the other.
CREATE TABLE payment_keys (
    key   bytea PRIMARY KEY CHECK (length(key) = 32),
    owner bytea
);

-- Transactions that keys of ours signed. `payments` is the keys of the payments they carry, one after the other.
CREATE TABLE transactions (
    network   text NOT NULL,
    id        bytea NOT NULL,
    sender    bytea NOT NULL,
    nonce     bigint NOT NULL,
    raw       bytea NOT NULL,
    payments  bytea NOT NULL,
    done      boolean NOT NULL,
    cost      bytea CHECK (length(cost) = 32),
    signed_at bigint NOT NULL,
    PRIMARY KEY (network, id)
);

CREATE INDEX transactions_lane ON transactions (network, sender, nonce);
CREATE INDEX transactions_open ON transactions (network, sender, nonce) WHERE NOT done;
CREATE INDEX transactions_spent ON transactions (network, sender, signed_at, cost) WHERE cost IS NOT NULL;

-- Who drives a network. A holder that gave its lease back is null; the epoch stays, and grows by one for the next.
-- The second index is for locks: who changes the epoch waits for those who write under it (FOR KEY SHARE), and who
-- only renews the lease does not.
CREATE TABLE leases (
    network text PRIMARY KEY,
    holder  bytea CHECK (length(holder) = 16),
    epoch   bigint NOT NULL,
    until   bigint NOT NULL
);

CREATE UNIQUE INDEX leases_epoch ON leases (network, epoch);

-- The gate's record: which payment opened which request. `exposure` is `unsettled` while running or settling,
-- `failed` when a settlement was refused after the handler had run, else null.
CREATE TABLE grants (
    key             bytea PRIMARY KEY CHECK (length(key) = 32),
    fingerprint     bytea NOT NULL,
    flow            text NOT NULL,
    payer           bytea NOT NULL,
    network         text NOT NULL,
    asset           bytea NOT NULL,
    amount          bytea NOT NULL CHECK (length(amount) = 32),
    state           text NOT NULL,
    exposure        text,
    runs            bigint NOT NULL,
    busy_until      bigint NOT NULL,
    receipt_network text,
    receipt_tx      bytea,
    receipt_payer   bytea,
    receipt_signed  text,
    claimed_at      bigint NOT NULL,
    updated_at      bigint NOT NULL,
    expires_at      bigint NOT NULL,
    version         bigint NOT NULL
);

CREATE INDEX grants_exposure ON grants (payer, network, asset, exposure, updated_at) WHERE exposure IS NOT NULL;
CREATE INDEX grants_expiry ON grants (expires_at) WHERE state NOT IN ('owed', 'credited');
CREATE INDEX grants_owing ON grants (claimed_at, key) WHERE state IN ('owed', 'credited');

-- Every taken key of a grant: its own and its other names.
CREATE TABLE grant_keys (
    key   bytea PRIMARY KEY CHECK (length(key) = 32),
    owner bytea NOT NULL
);

CREATE INDEX grant_keys_owner ON grant_keys (owner);

-- Answers of handlers, kept for ten minutes. `bytes` is the length of headers and body, so that nobody has to read them
-- to know it.
CREATE TABLE answers (
    key       bytea PRIMARY KEY,
    status    bigint NOT NULL,
    headers   bytea NOT NULL,
    body      bytea NOT NULL,
    bytes     bigint NOT NULL,
    stored_at bigint NOT NULL
);

CREATE INDEX answers_age ON answers (stored_at, key, bytes);

-- The random identity of this store: gates that share it are one caller.
CREATE TABLE identity (
    id    integer PRIMARY KEY CHECK (id = 1),
    bytes bytea NOT NULL CHECK (length(bytes) = 32)
);

-- One row that is written to find out whether anything can be.
CREATE TABLE liveness (
    id integer PRIMARY KEY CHECK (id = 1),
    at bigint NOT NULL
);

INSERT INTO liveness (id, at) VALUES (1, 0);
