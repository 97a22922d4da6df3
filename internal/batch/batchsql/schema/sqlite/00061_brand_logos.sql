-- +goose Up
-- files of logos, by their names; content is a hash, kept_at when one was last put there, named, or had
-- its name taken away; 0 = it is being removed, for good
CREATE TABLE brand_logos (
    name     TEXT    PRIMARY KEY,
    brand_id INTEGER NOT NULL,
    content  TEXT    NOT NULL,
    kept_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX brand_logos_by_brand ON brand_logos (brand_id);
CREATE INDEX brand_logos_by_age ON brand_logos (kept_at);
