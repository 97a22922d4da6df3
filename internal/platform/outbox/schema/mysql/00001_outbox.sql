-- +goose Up
CREATE TABLE IF NOT EXISTS feed (
    shard INT PRIMARY KEY,
    seq   BIGINT NOT NULL,
    at    BIGINT NOT NULL
);
INSERT IGNORE INTO feed (shard, seq, at) VALUES
    (0,0,0),(1,0,0),(2,0,0),(3,0,0),(4,0,0),(5,0,0),(6,0,0),(7,0,0),
    (8,0,0),(9,0,0),(10,0,0),(11,0,0),(12,0,0),(13,0,0),(14,0,0),(15,0,0);

CREATE TABLE IF NOT EXISTS outbox (
    shard    INT NOT NULL,
    seq      BIGINT NOT NULL,
    n        INT NOT NULL,
    event_id VARBINARY(40) NOT NULL,
    type     VARBINARY(64) NOT NULL,
    brand_id INT NOT NULL,
    subject  VARBINARY(64) NOT NULL,
    at       BIGINT NOT NULL,
    data     MEDIUMBLOB NOT NULL,
    -- Of the request that caused it, when that was sampled.
    traceparent VARBINARY(55) NOT NULL DEFAULT '',
    PRIMARY KEY (shard, seq, n)
);

CREATE TABLE IF NOT EXISTS outbox_relays (
    name  VARBINARY(64) NOT NULL,
    shard INT NOT NULL,
    seq   BIGINT NOT NULL,
    token BIGINT NOT NULL,
    PRIMARY KEY (name, shard)
);
