-- +goose Up
-- after_seq: the place in the order of commit of the brand's shard that it was made at
CREATE TABLE notify_endpoints (
    endpoint_id VARCHAR(40) PRIMARY KEY,
    brand_id    INT NOT NULL,
    url         VARCHAR(2000) NOT NULL,
    types       VARCHAR(1400) NOT NULL,
    created_by  VARCHAR(256) NOT NULL,
    created_at  BIGINT NOT NULL,
    after_seq   BIGINT NOT NULL
);
CREATE INDEX notify_endpoints_brand ON notify_endpoints (brand_id, endpoint_id);

-- what is on its way; what arrived is forgotten
CREATE TABLE notify_deliveries (
    endpoint_id VARCHAR(40) NOT NULL,
    event_id    VARCHAR(80) NOT NULL,
    body        BLOB NOT NULL,
    tries       INT NOT NULL,
    reason      VARCHAR(500) NOT NULL,
    due_at      BIGINT NOT NULL,
    dead        INT NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (endpoint_id, event_id)
);
CREATE INDEX notify_deliveries_due ON notify_deliveries (dead, due_at);
