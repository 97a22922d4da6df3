-- +goose Up
-- A page of one brand's batches, the newest first.
CREATE INDEX batches_brand ON batches (brand_id, created_at, batch_id);
