-- +goose Up
-- a brand's changes, the newest first
CREATE INDEX changes_brand ON changes (brand_id, effective_at, seq);
