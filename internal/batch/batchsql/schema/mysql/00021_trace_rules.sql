-- +goose Up
-- what the public sees of a brand's timelines, JSON; NULL = the usual
ALTER TABLE brand_settings ADD COLUMN trace_rules BLOB;
