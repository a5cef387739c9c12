-- What the open payments of a payer promise of its balance.
CREATE INDEX payments_promised ON payments (network, asset, payer) WHERE open = 1;
