-- +goose Up
CREATE TABLE IF NOT EXISTS keyset_keys (
    key_id       VARBINARY(40) PRIMARY KEY,
    purpose      VARBINARY(32) NOT NULL,
    check_value  VARBINARY(32) NOT NULL,
    created_at   BIGINT NOT NULL,
    verify_until BIGINT NOT NULL,
    -- The key's id, but 'codebook' for the codebook key: so there is only one.
    sole         VARBINARY(40) NOT NULL,
    UNIQUE KEY keyset_keys_sole (sole)
);
