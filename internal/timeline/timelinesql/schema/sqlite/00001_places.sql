-- +goose Up
-- what brands call places: dealers, shops, warehouses, factories
CREATE TABLE timeline_places (
    brand_id INTEGER NOT NULL,
    place_id VARCHAR(255) NOT NULL,
    name     VARCHAR(256) NOT NULL,
    kind     VARCHAR(16) NOT NULL,
    PRIMARY KEY (brand_id, place_id)
) WITHOUT ROWID;
