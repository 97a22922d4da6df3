-- +goose Up
CREATE TABLE leases (
    name       VARCHAR(64) PRIMARY KEY,
    owner      VARCHAR(64) NOT NULL,
    token      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
