-- +goose Up
-- the number of the last change; whoever holds the row changes places
CREATE TABLE timeline_counters (
    one  INTEGER PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT INTO timeline_counters (one, last) SELECT 1, COUNT(*) FROM timeline_places;

-- the last change of each place that there is or was
CREATE TABLE timeline_place_changes (
    change_no BIGINT NOT NULL PRIMARY KEY,
    brand_id  INTEGER NOT NULL,
    place_id  VARCHAR(255) NOT NULL
);
INSERT INTO timeline_place_changes (change_no, brand_id, place_id)
    SELECT ROW_NUMBER() OVER (ORDER BY brand_id, place_id), brand_id, place_id FROM timeline_places;
CREATE UNIQUE INDEX timeline_place_changes_place ON timeline_place_changes (brand_id, place_id);
