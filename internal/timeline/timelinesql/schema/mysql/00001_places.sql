-- +goose Up
-- what brands call places: dealers, shops, warehouses, factories
CREATE TABLE IF NOT EXISTS timeline_places (
    brand_id INT NOT NULL,
    place_id VARBINARY(255) NOT NULL,
    name     VARBINARY(256) NOT NULL,
    kind     VARCHAR(16) NOT NULL,
    PRIMARY KEY (brand_id, place_id)
);
