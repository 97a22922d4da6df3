-- +goose Up
-- Who runs it, until when without a sign of life, and which taking of it this is.
ALTER TABLE tasks ADD COLUMN owner VARCHAR(40) NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN lease_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN fence BIGINT NOT NULL DEFAULT 0;
