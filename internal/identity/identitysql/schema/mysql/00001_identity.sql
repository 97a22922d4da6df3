-- +goose Up
-- Secrets are kept as their SHA-256.
CREATE TABLE IF NOT EXISTS identity_keys (
    key_id     VARBINARY(40) PRIMARY KEY,
    hash       VARBINARY(32) NOT NULL,
    name       VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    role       VARBINARY(32) NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT NOT NULL,
    UNIQUE KEY identity_keys_hash (hash)
);

CREATE TABLE IF NOT EXISTS identity_sign_ins (
    hash       VARBINARY(32) PRIMARY KEY,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL,
    key_id     VARBINARY(40) NOT NULL
);

-- One row. A rule about all credentials (the first one, the last key) is decided by
-- who has taken it first, so that two can never decide at once.
CREATE TABLE IF NOT EXISTS identity_turns (
    name VARBINARY(16) PRIMARY KEY,
    turn BIGINT NOT NULL
);
INSERT IGNORE INTO identity_turns (name, turn) VALUES ('credentials', 0);
