-- +goose Up
-- Sets of links by their anchor, and where brands allow links to lead. One that was
-- deleted has no body.
CREATE TABLE resolve_records (
    name       VARCHAR(250) PRIMARY KEY,
    brand_id   INT NOT NULL,
    body       BLOB NOT NULL,
    version    BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE INDEX resolve_records_version ON resolve_records (version);
CREATE INDEX resolve_records_brand ON resolve_records (brand_id, name);

-- One row. Whoever writes takes it first, so versions come in the order of commit.
CREATE TABLE resolve_heads (
    name    VARCHAR(16) PRIMARY KEY,
    version BIGINT NOT NULL
);
INSERT INTO resolve_heads (name, version) VALUES ('links', 0);
