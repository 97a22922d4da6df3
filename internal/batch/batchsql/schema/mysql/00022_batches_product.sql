-- +goose Up
-- A page of one product's batches, the newest first.
CREATE INDEX batches_product ON batches (product_id, created_at, batch_id);
