-- +goose Up
CREATE TABLE IF NOT EXISTS inbox_lane (
    grp  VARBINARY(64) NOT NULL,
    lane INT NOT NULL,
    turn BIGINT NOT NULL,
    PRIMARY KEY (grp, lane)
);

CREATE TABLE IF NOT EXISTS inbox (
    grp     VARBINARY(64) NOT NULL,
    lane    INT NOT NULL,
    from_at BIGINT NOT NULL,
    from_n  BIGINT NOT NULL,
    to_at   BIGINT NOT NULL,
    to_n    BIGINT NOT NULL,
    PRIMARY KEY (grp, lane, from_at, from_n)
);
