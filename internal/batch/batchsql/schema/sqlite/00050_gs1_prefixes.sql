-- +goose Up
-- the GS1 company prefixes that a brand says it has, JSON; NULL = it said none
ALTER TABLE brand_settings ADD COLUMN gs1_prefixes BLOB;
