-- What was charged and not delivered, for whoever has to give it back.
CREATE INDEX grants_owing ON grants (claimed_at, key) WHERE state IN ('owed', 'credited');
