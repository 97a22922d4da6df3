-- +goose Up
-- which key signs a batch's labels, and what they say of the product; '' = not signed
ALTER TABLE batches ADD COLUMN signature_key_id VARCHAR(16) NOT NULL DEFAULT '';
ALTER TABLE batches ADD COLUMN signature_gtin VARCHAR(14) NOT NULL DEFAULT '';
ALTER TABLE products ADD COLUMN pool_signed INTEGER NOT NULL DEFAULT 0;
