-- +goose Up
-- after_seq: the place in the order of commit of the brand's shard that it was made at
CREATE TABLE IF NOT EXISTS notify_endpoints (
    endpoint_id VARBINARY(40) PRIMARY KEY,
    brand_id    INT NOT NULL,
    url         VARBINARY(2000) NOT NULL,
    types       VARBINARY(1400) NOT NULL,
    created_by  VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    created_at  BIGINT NOT NULL,
    after_seq   BIGINT NOT NULL,
    KEY notify_endpoints_brand (brand_id, endpoint_id)
);

-- what is on its way; what arrived is forgotten
CREATE TABLE IF NOT EXISTS notify_deliveries (
    endpoint_id VARBINARY(40) NOT NULL,
    event_id    VARBINARY(80) NOT NULL,
    body        MEDIUMBLOB NOT NULL,
    tries       INT NOT NULL,
    reason      VARBINARY(500) NOT NULL,
    due_at      BIGINT NOT NULL,
    dead        INT NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (endpoint_id, event_id),
    KEY notify_deliveries_due (dead, due_at)
);
