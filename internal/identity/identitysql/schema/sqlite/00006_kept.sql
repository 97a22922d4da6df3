-- +goose Up
-- What a tenant has drawn of a day's requests: until when it is paid off.
CREATE TABLE identity_requests (
    tenant_id  VARCHAR(40) PRIMARY KEY,
    paid_until BIGINT NOT NULL
);

-- Up to where a log of changes was removed, with the hash of the last entry that is gone.
CREATE TABLE identity_audit_cuts (
    tenant_id VARCHAR(40) PRIMARY KEY,
    n         BIGINT NOT NULL,
    hash      BLOB NOT NULL,
    cut_at    BIGINT NOT NULL,
    mac       BLOB NOT NULL
);
