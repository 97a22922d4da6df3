-- +goose Up
-- Secrets are kept as their SHA-256.
CREATE TABLE identity_keys (
    key_id     VARCHAR(40) PRIMARY KEY,
    hash       BLOB NOT NULL UNIQUE,
    name       VARCHAR(256) NOT NULL,
    role       VARCHAR(32) NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT NOT NULL
);

CREATE TABLE identity_sign_ins (
    hash       BLOB PRIMARY KEY,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL,
    key_id     VARCHAR(40) NOT NULL
);

-- One row. A rule about all credentials (the first one, the last key) is decided by
-- who has taken it first, so that two can never decide at once.
CREATE TABLE identity_turns (
    name VARCHAR(16) PRIMARY KEY,
    turn BIGINT NOT NULL
);
INSERT INTO identity_turns (name, turn) VALUES ('credentials', 0);
