-- The facilitator's signature under a receipt, as the text that goes to the payer.
ALTER TABLE grants ADD COLUMN receipt_signed TEXT;
