-- +goose Up
CREATE TABLE idempotency (
    key_hash   BLOB PRIMARY KEY,
    body       BLOB NOT NULL,
    effect     VARCHAR(64) NOT NULL,
    created_at BIGINT NOT NULL
);
