-- +goose Up
-- Whose a GTIN is that somebody names beside a code that does not verify.
CREATE INDEX products_gtin ON products (gtin, product_id, brand_id);
