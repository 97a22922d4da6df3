-- +goose Up
CREATE TABLE inbox_lane (
    grp  VARCHAR(64) NOT NULL,
    lane INTEGER NOT NULL,
    turn BIGINT NOT NULL,
    PRIMARY KEY (grp, lane)
);

CREATE TABLE inbox (
    grp     VARCHAR(64) NOT NULL,
    lane    INTEGER NOT NULL,
    from_at BIGINT NOT NULL,
    from_n  BIGINT NOT NULL,
    to_at   BIGINT NOT NULL,
    to_n    BIGINT NOT NULL,
    PRIMARY KEY (grp, lane, from_at, from_n)
);
