-- +goose Up
ALTER TABLE outbox ADD COLUMN traceparent VARCHAR(55) NOT NULL DEFAULT '';

CREATE TABLE outbox_relays (
    name  VARCHAR(64) NOT NULL,
    shard INTEGER NOT NULL,
    seq   BIGINT NOT NULL,
    token BIGINT NOT NULL,
    PRIMARY KEY (name, shard)
);
