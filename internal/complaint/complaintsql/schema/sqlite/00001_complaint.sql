-- +goose Up
-- what somebody says of an item; brand_id 0 = its code is nobody's
CREATE TABLE complaints (
    complaint_id VARCHAR(40) PRIMARY KEY,
    brand_id     INTEGER NOT NULL,
    batch_id     VARCHAR(40) NOT NULL,
    code         VARCHAR(18) NOT NULL,
    token        VARCHAR(64) NOT NULL,
    text         VARCHAR(4000) NOT NULL,
    place        VARCHAR(400) NOT NULL,
    photo        VARCHAR(8) NOT NULL,
    created_at   BIGINT NOT NULL,
    closed_at    BIGINT NOT NULL,
    closed_by    VARCHAR(256) NOT NULL,
    outcome      VARCHAR(4000) NOT NULL
);
CREATE INDEX complaints_brand ON complaints (brand_id, created_at, complaint_id);
