-- Times are milliseconds since 1970, UTC. Amounts are 32 bytes, big-endian. Addresses are 20 bytes (EVM) or
-- 32 (Solana), transaction identifiers 32 or 64. Networks are CAIP-2.

-- The facilitator's ledger. A row is never deleted.
CREATE TABLE payments (
    key         BLOB NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    network     TEXT NOT NULL,
    asset       BLOB NOT NULL,
    payer       BLOB NOT NULL,
    pay_to      BLOB NOT NULL,
    amount      BLOB NOT NULL CHECK (length(amount) = 32),
    kind        TEXT NOT NULL,
    nonce       BLOB,
    caller      BLOB,
    state       TEXT NOT NULL,
    open        INTEGER NOT NULL,
    tx          BLOB,
    block       INTEGER,
    block_hash  BLOB,
    answer      TEXT,
    answer_word TEXT,
    answer_text TEXT,
    expires_at  INTEGER,
    raw         BLOB,
    claimed_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    version     INTEGER NOT NULL
) STRICT;

CREATE INDEX payments_unfinished ON payments (network, claimed_at, key) WHERE open = 1;

-- Every taken key that is not a payment's own: the other names of payments, and the transactions that keys of
-- ours signed, which no payment owns. Together with `payments` this is one set of keys, each in it once.
CREATE TABLE payment_keys (
    key   BLOB PRIMARY KEY CHECK (length(key) = 32),
    owner BLOB REFERENCES payments (key)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER payment_is_no_other_key BEFORE INSERT ON payments
WHEN EXISTS (SELECT 1 FROM payment_keys WHERE key = NEW.key)
BEGIN SELECT RAISE(IGNORE); END;

CREATE TRIGGER payment_key_is_no_payment BEFORE INSERT ON payment_keys
WHEN EXISTS (SELECT 1 FROM payments WHERE key = NEW.key)
BEGIN SELECT RAISE(IGNORE); END;

-- Transactions that keys of ours signed. `payments` is the keys of the payments they carry, one after the other.
CREATE TABLE transactions (
    network   TEXT NOT NULL,
    id        BLOB NOT NULL,
    sender    BLOB NOT NULL,
    nonce     INTEGER NOT NULL,
    raw       BLOB NOT NULL,
    payments  BLOB NOT NULL,
    done      INTEGER NOT NULL,
    signed_at INTEGER NOT NULL,
    PRIMARY KEY (network, id)
) STRICT;

CREATE INDEX transactions_lane ON transactions (network, sender, nonce);
CREATE INDEX transactions_open ON transactions (network, sender, nonce) WHERE done = 0;

-- The gate's record: which payment opened which request. `exposure` is `unsettled` while running or settling,
-- `failed` when a settlement was refused after the handler had run, else null.
CREATE TABLE grants (
    key             BLOB PRIMARY KEY CHECK (length(key) = 32),
    fingerprint     BLOB NOT NULL,
    flow            TEXT NOT NULL,
    payer           BLOB NOT NULL,
    network         TEXT NOT NULL,
    asset           BLOB NOT NULL,
    amount          BLOB NOT NULL CHECK (length(amount) = 32),
    state           TEXT NOT NULL,
    exposure        TEXT,
    runs            INTEGER NOT NULL,
    busy_until      INTEGER NOT NULL,
    receipt_network TEXT,
    receipt_tx      BLOB,
    receipt_payer   BLOB,
    claimed_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    version         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX grants_exposure ON grants (payer, network, asset, exposure, updated_at) WHERE exposure IS NOT NULL;
CREATE INDEX grants_expiry ON grants (expires_at) WHERE state NOT IN ('owed', 'credited');

-- The other names of granted payments; one set of keys with `grants`.
CREATE TABLE grant_keys (
    key   BLOB PRIMARY KEY CHECK (length(key) = 32),
    owner BLOB NOT NULL REFERENCES grants (key) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX grant_keys_owner ON grant_keys (owner);

CREATE TRIGGER grant_is_no_other_key BEFORE INSERT ON grants
WHEN EXISTS (SELECT 1 FROM grant_keys WHERE key = NEW.key)
BEGIN SELECT RAISE(IGNORE); END;

CREATE TRIGGER grant_key_is_no_grant BEFORE INSERT ON grant_keys
WHEN EXISTS (SELECT 1 FROM grants WHERE key = NEW.key)
BEGIN SELECT RAISE(IGNORE); END;

-- Answers of handlers, kept for ten minutes.
CREATE TABLE answers (
    key       BLOB PRIMARY KEY REFERENCES grants (key) ON DELETE CASCADE,
    status    INTEGER NOT NULL,
    headers   BLOB NOT NULL,
    body      BLOB NOT NULL,
    stored_at INTEGER NOT NULL
) STRICT;

CREATE INDEX answers_age ON answers (stored_at, key);

-- The random identity of this store: gates that share it are one caller.
CREATE TABLE identity (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    bytes BLOB NOT NULL CHECK (length(bytes) = 32)
) STRICT;

-- One row that is written to find out whether anything can be.
CREATE TABLE liveness (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL
) STRICT;

INSERT INTO liveness (id, at) VALUES (1, 0);
