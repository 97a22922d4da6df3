-- +goose Up
-- Consumers have accounts of their own, apart from people who work here. A person is
-- sealed under a data key of its own; the hashes are keyed.
CREATE TABLE identity_consumers (
    user_id    BIGINT PRIMARY KEY,
    state      VARCHAR(32) NOT NULL,
    data_key   BLOB NOT NULL,
    sealed     BLOB NOT NULL,
    phone      BLOB NULL,
    email      BLOB NULL,
    external   BLOB NULL,
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    UNIQUE (phone),
    UNIQUE (email),
    UNIQUE (external)
);
CREATE INDEX identity_consumers_seen ON identity_consumers (state, seen_at);

-- The one code that was sent last to a number or an address; hashes alone are kept.
CREATE TABLE identity_codes (
    target     BLOB PRIMARY KEY,
    code       BLOB NOT NULL,
    tries      INTEGER NOT NULL,
    sent_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX identity_codes_ended ON identity_codes (expires_at);

-- How many of something there were on a UTC day.
CREATE TABLE identity_counts (
    name BLOB NOT NULL,
    day  VARCHAR(32) NOT NULL,
    n    BIGINT NOT NULL,
    PRIMARY KEY (name, day)
);
CREATE INDEX identity_counts_day ON identity_counts (day);
