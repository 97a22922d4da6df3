-- +goose Up
-- the number of the last change; whoever holds the row changes places
CREATE TABLE IF NOT EXISTS timeline_counters (
    one  INT PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT IGNORE INTO timeline_counters (one, last) SELECT 1, COUNT(*) FROM timeline_places;

-- the last change of each place that there is or was
CREATE TABLE IF NOT EXISTS timeline_place_changes (
    change_no BIGINT PRIMARY KEY,
    brand_id  INT NOT NULL,
    place_id  VARBINARY(255) NOT NULL,
    UNIQUE KEY timeline_place_changes_place (brand_id, place_id)
);
INSERT IGNORE INTO timeline_place_changes (change_no, brand_id, place_id)
    SELECT ROW_NUMBER() OVER (ORDER BY brand_id, place_id), brand_id, place_id FROM timeline_places;
