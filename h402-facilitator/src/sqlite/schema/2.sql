-- On Solana: the block height after which a payment cannot land any more.
ALTER TABLE payments ADD COLUMN last_height INTEGER;
