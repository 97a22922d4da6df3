-- +goose Up
CREATE TABLE IF NOT EXISTS idempotency (
    key_hash   VARBINARY(32) PRIMARY KEY,
    body       VARBINARY(32) NOT NULL,
    effect     VARBINARY(64) NOT NULL,
    created_at BIGINT NOT NULL
);
