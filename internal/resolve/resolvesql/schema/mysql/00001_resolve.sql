-- +goose Up
-- Sets of links by their anchor, and where brands allow links to lead. One that was
-- deleted has no body.
CREATE TABLE IF NOT EXISTS resolve_records (
    name       VARBINARY(250) PRIMARY KEY,
    brand_id   INT NOT NULL,
    body       MEDIUMBLOB NOT NULL,
    version    BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    KEY resolve_records_version (version),
    KEY resolve_records_brand (brand_id, name)
);

-- One row. Whoever writes takes it first, so versions come in the order of commit.
CREATE TABLE IF NOT EXISTS resolve_heads (
    name    VARBINARY(16) PRIMARY KEY,
    version BIGINT NOT NULL
);
INSERT IGNORE INTO resolve_heads (name, version) VALUES ('links', 0);
