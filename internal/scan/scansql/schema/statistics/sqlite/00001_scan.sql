-- +goose Up
-- sums by the hierarchy: the batch determines product and brand. Brand stands before
-- start, so that a brand's range is one stretch of the key
CREATE TABLE scan_counts (
    grain        INTEGER NOT NULL,
    brand_id     INTEGER NOT NULL,
    start        BIGINT NOT NULL,
    product_id   INTEGER NOT NULL,
    batch_first  BIGINT NOT NULL,
    province     VARCHAR(64) NOT NULL,
    verdict      INTEGER NOT NULL,
    scans        BIGINT NOT NULL,
    sessions     BIGINT NOT NULL,
    first_scans  BIGINT NOT NULL,
    first_of_day BIGINT NOT NULL,
    PRIMARY KEY (grain, brand_id, start, product_id, batch_first, province, verdict)
) WITHOUT ROWID;

-- the brands that were ever counted, so that a question about all of them visits one
-- stretch of the key for each
CREATE TABLE scan_brands (
    brand_id INTEGER PRIMARY KEY
);

-- distinct codes of a batch (and, with batch_first = -1, of the brand) on a day
CREATE TABLE scan_sketches (
    brand_id    INTEGER NOT NULL,
    day         INTEGER NOT NULL,
    product_id  INTEGER NOT NULL,
    batch_first BIGINT NOT NULL,
    sketch      BLOB NOT NULL,
    PRIMARY KEY (brand_id, day, product_id, batch_first)
);

CREATE TABLE scan_top_codes (
    brand_id INTEGER NOT NULL,
    serial   BIGINT NOT NULL,
    scans    BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    PRIMARY KEY (brand_id, serial)
) WITHOUT ROWID;

-- a row for each code that was ever scanned. The key is the order of the list: one
-- tree that grows at the end of each brand. A second tree by serial would cost as
-- much again with each first scan, and nobody asks it anything
CREATE TABLE scanned_items (
    brand_id INTEGER NOT NULL,
    first_at BIGINT NOT NULL,
    serial   BIGINT NOT NULL,
    PRIMARY KEY (brand_id, first_at, serial)
) WITHOUT ROWID;

-- sightings that are counted and not yet in the sums: written with the inbox in one
-- row for each transaction, folded into the tables above in large sorted steps
CREATE TABLE scan_deltas (
    id   INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);

CREATE TABLE scan_newest (
    one INTEGER PRIMARY KEY,
    at  BIGINT NOT NULL
);
