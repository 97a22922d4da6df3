-- +goose Up
-- Requests of a tenant; 0 = no bound.
ALTER TABLE identity_tenants ADD COLUMN requests_per_second BIGINT NOT NULL DEFAULT 0;
ALTER TABLE identity_tenants ADD COLUMN requests_per_day BIGINT NOT NULL DEFAULT 0;

-- Other origins that may read what is of one brand.
CREATE TABLE identity_brand_origins (
    brand_id INTEGER NOT NULL,
    origin   VARBINARY(256) NOT NULL,
    PRIMARY KEY (brand_id, origin)
);
