-- +goose Up
-- what brands chose; one that never chose has no row
CREATE TABLE IF NOT EXISTS brand_settings (
    brand_id        INT PRIMARY KEY,
    version         BIGINT NOT NULL,
    misses_per_hour INT NOT NULL,
    hide_places     INT NOT NULL,
    changed_at      BIGINT NOT NULL
);
