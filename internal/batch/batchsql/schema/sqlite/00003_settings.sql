-- +goose Up
-- what brands chose; one that never chose has no row
CREATE TABLE brand_settings (
    brand_id        INTEGER PRIMARY KEY,
    version         BIGINT NOT NULL,
    misses_per_hour INTEGER NOT NULL,
    hide_places     INTEGER NOT NULL,
    changed_at      BIGINT NOT NULL
);
