-- +goose Up
-- version grows with each change, so that of two who serve one does
CREATE TABLE IF NOT EXISTS trace_subscriptions (
    subscription_id VARBINARY(40) PRIMARY KEY,
    query           VARBINARY(128) NOT NULL,
    brand_id        INT NOT NULL,
    dest            VARBINARY(2000) NOT NULL,
    schedule        VARBINARY(2000) NOT NULL,
    if_empty        INT NOT NULL,
    from_time       BIGINT NOT NULL,
    format          VARBINARY(40) NOT NULL,
    created_by      VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    created_at      BIGINT NOT NULL,
    request         VARBINARY(32) NOT NULL,
    version         BIGINT NOT NULL,
    ran_at          BIGINT NOT NULL,
    next_at         BIGINT NOT NULL,
    until_time      BIGINT NOT NULL,
    told            INT NOT NULL,
    sent            VARBINARY(40) NOT NULL,
    notified_at     BIGINT NOT NULL,
    KEY trace_subscriptions_query (brand_id, query, subscription_id)
);

-- up to where each brand's events were sent, in the order of record
CREATE TABLE IF NOT EXISTS trace_places (
    subscription_id VARBINARY(40) NOT NULL,
    brand_id        INT NOT NULL,
    record_time     BIGINT NOT NULL,
    event_no        BIGINT NOT NULL,
    PRIMARY KEY (subscription_id, brand_id)
);
