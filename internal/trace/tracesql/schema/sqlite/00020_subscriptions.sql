-- +goose Up
-- version grows with each change, so that of two who serve one does
CREATE TABLE trace_subscriptions (
    subscription_id VARCHAR(40) PRIMARY KEY,
    query           VARCHAR(128) NOT NULL,
    brand_id        INT NOT NULL,
    dest            VARCHAR(2000) NOT NULL,
    schedule        VARCHAR(2000) NOT NULL,
    if_empty        INT NOT NULL,
    from_time       BIGINT NOT NULL,
    format          VARCHAR(40) NOT NULL,
    created_by      VARCHAR(256) NOT NULL,
    created_at      BIGINT NOT NULL,
    request         BLOB NOT NULL,
    version         BIGINT NOT NULL,
    ran_at          BIGINT NOT NULL,
    next_at         BIGINT NOT NULL,
    until_time      BIGINT NOT NULL,
    told            INT NOT NULL,
    sent            VARCHAR(40) NOT NULL,
    notified_at     BIGINT NOT NULL
);
CREATE INDEX trace_subscriptions_query ON trace_subscriptions (query, subscription_id);
-- up to where each brand's events were sent, in the order of record
CREATE TABLE trace_places (
    subscription_id VARCHAR(40) NOT NULL,
    brand_id        INT NOT NULL,
    record_time     BIGINT NOT NULL,
    event_no        BIGINT NOT NULL,
    PRIMARY KEY (subscription_id, brand_id)
);
