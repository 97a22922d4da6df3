-- +goose Up
-- files of logos, by their names; content is a hash, kept_at when one was last put there, named, or had
-- its name taken away; 0 = it is being removed, for good
CREATE TABLE IF NOT EXISTS brand_logos (
    name     VARCHAR(64) PRIMARY KEY,
    brand_id INT         NOT NULL,
    content  VARCHAR(64) NOT NULL,
    kept_at  BIGINT      NOT NULL,
    KEY brand_logos_by_brand (brand_id),
    KEY brand_logos_by_age (kept_at)
);
