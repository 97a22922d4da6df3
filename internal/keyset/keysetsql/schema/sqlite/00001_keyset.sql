-- +goose Up
CREATE TABLE keyset_keys (
    key_id       VARCHAR(40) PRIMARY KEY,
    purpose      VARCHAR(32) NOT NULL,
    check_value  VARCHAR(32) NOT NULL,
    created_at   BIGINT NOT NULL,
    verify_until BIGINT NOT NULL,
    -- The key's id, but 'codebook' for the codebook key: so there is only one.
    sole         VARCHAR(40) NOT NULL UNIQUE
);
