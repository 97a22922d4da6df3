-- +goose Up
-- what somebody says of an item; brand_id 0 = its code is nobody's
CREATE TABLE IF NOT EXISTS complaints (
    complaint_id VARBINARY(40) PRIMARY KEY,
    brand_id     INT NOT NULL,
    batch_id     VARBINARY(40) NOT NULL,
    code         VARBINARY(18) NOT NULL,
    token        VARBINARY(256) NOT NULL,
    text         VARBINARY(4000) NOT NULL,
    place        VARBINARY(400) NOT NULL,
    photo        VARBINARY(8) NOT NULL,
    created_at   BIGINT NOT NULL,
    closed_at    BIGINT NOT NULL,
    closed_by    VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    outcome      VARBINARY(4000) NOT NULL,
    KEY complaints_brand (brand_id, created_at, complaint_id)
);
