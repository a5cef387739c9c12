-- What payments promise of their payers' balances between verify and claim. A crash of the server may lose it.
CREATE UNLOGGED TABLE holds (
    key       bytea PRIMARY KEY CHECK (length(key) = 32),
    network   text NOT NULL,
    asset     bytea NOT NULL,
    payer     bytea NOT NULL,
    amount    bytea NOT NULL CHECK (length(amount) = 32),
    exclusive boolean NOT NULL,
    until     bigint NOT NULL
);

CREATE INDEX holds_payer ON holds (network, asset, payer);
CREATE INDEX holds_until ON holds (until);
CREATE INDEX payments_promised ON payments (network, asset, payer) WHERE open;

-- Each statement of a function sees what was committed before it began, so what is read under the lock is all there is.
CREATE FUNCTION h402_hold(
    p_key bytea, p_network text, p_asset bytea, p_payer bytea, p_amount bytea, p_exclusive boolean, p_ttl bigint, p_block bigint,
    OUT taken boolean, OUT is_new boolean, OUT others bytea[]
) LANGUAGE plpgsql AS $$
DECLARE
    at bigint;
    known holds%ROWTYPE;
BEGIN
    -- One at a time for each payer and asset.
    PERFORM pg_advisory_xact_lock(hashtextextended(p_network || ':' || encode(p_asset, 'hex') || ':' || encode(p_payer, 'hex'), 402));
    at := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    -- A few of those that are over, whosever they are: more than come to be.
    DELETE FROM holds WHERE key IN (SELECT h.key FROM holds h WHERE h.until <= at ORDER BY h.until LIMIT 4 FOR UPDATE SKIP LOCKED);
    SELECT * INTO known FROM holds h WHERE h.key = p_key AND h.until > at;
    is_new := NOT FOUND;
    taken := NOT is_new AND p_exclusive AND known.exclusive;
    others := '{}';
    IF taken THEN
        RETURN;
    END IF;
    INSERT INTO holds (key, network, asset, payer, amount, exclusive, until)
    VALUES (p_key, p_network, p_asset, p_payer, p_amount, p_exclusive, at + p_ttl)
    ON CONFLICT (key) DO UPDATE SET amount = excluded.amount, until = greatest(holds.until, excluded.until),
        exclusive = excluded.exclusive OR (holds.exclusive AND holds.until > at);
    others := ARRAY (
        SELECT h.amount FROM holds h
        WHERE h.network = p_network AND h.asset = p_asset AND h.payer = p_payer AND h.key <> p_key AND h.until > at
            AND NOT EXISTS (SELECT 1 FROM payments p WHERE p.key = h.key)
        UNION ALL
        SELECT p.amount FROM payments p
        WHERE p.open AND p.network = p_network AND p.asset = p_asset AND p.payer = p_payer AND p.key <> p_key
            AND p.kind NOT IN ('signAndSendTransaction', 'solanaSignAndSendTransaction')
            AND (p.state IN ('claimed', 'signed', 'broadcast', 'reorged') OR (p.state = 'included' AND p.block > p_block))
    );
END $$;
