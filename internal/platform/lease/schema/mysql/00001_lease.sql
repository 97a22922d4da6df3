-- +goose Up
CREATE TABLE IF NOT EXISTS leases (
    name       VARBINARY(64) PRIMARY KEY,
    owner      VARBINARY(64) NOT NULL,
    token      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
