-- +goose Up
-- One day of scans. The key grows at its end, so an open day is written without
-- looking anywhere else; the secondary indexes are made when the day is over. What
-- fits into bits is bound as one number and read through columns that are computed: a
-- bound value costs more than a computed one that nobody asks for.
CREATE TABLE scan_rows (
    pos         BIGINT NOT NULL,
    n           INTEGER NOT NULL,
    code        CHAR(18) NOT NULL,
    serial      BIGINT NOT NULL,
    brand_id    INTEGER NOT NULL,
    product_id  INTEGER NOT NULL,
    batch_first BIGINT NOT NULL,
    scan_time   BIGINT NOT NULL,
    facts       INTEGER NOT NULL,
    error_msg   VARCHAR(32),
    device      BIGINT,
    location_id INTEGER,
    ip          VARCHAR(43),
    ip_sealed   BLOB,
    agent_id    INTEGER,
    zone_id     INTEGER,
    trace_id    BLOB,
    prev_pos    BIGINT,
    prev_n      INTEGER,
    user_id     BIGINT,
    result      INTEGER GENERATED ALWAYS AS (facts & 255) VIRTUAL,
    PRIMARY KEY (pos, n)
) WITHOUT ROWID;

-- agents, places and zones, each once
CREATE TABLE scan_texts (
    id   INTEGER PRIMARY KEY,
    text VARCHAR(200) NOT NULL
);

-- the seed's table, for whoever reads
CREATE VIEW scan_records AS
SELECT r.pos || '-' || r.n AS id, r.code, r.user_id, r.ip, a.text AS user_agent, l.text AS location, r.scan_time,
    r.result, r.error_msg, z.text AS user_timezone,
    r.pos, r.n, r.serial, r.brand_id, r.product_id, r.batch_first, r.facts, r.device, r.ip_sealed, r.trace_id, r.prev_pos, r.prev_n,
    r.facts >> 8 & 255 AS verdict, r.facts >> 16 & 255 AS source, r.facts >> 24 & 1 AS first_scan,
    r.facts >> 25 & 1 AS first_of_day, r.facts >> 26 & 1 AS new_session, r.facts >> 27 & 1 AS far
FROM scan_rows r
LEFT JOIN scan_texts a ON a.id = r.agent_id
LEFT JOIN scan_texts l ON l.id = r.location_id
LEFT JOIN scan_texts z ON z.id = r.zone_id;

CREATE TABLE scan_day (
    closed_at BIGINT NOT NULL
);
