-- +goose Up
-- no is the order of answers: kind, brand, and a number that grows within a brand
CREATE TABLE find_documents (
    no       INTEGER PRIMARY KEY,
    kind     TEXT    NOT NULL,
    brand_id INTEGER NOT NULL,
    id       TEXT    NOT NULL,
    title    TEXT    NOT NULL,
    words    TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    gone     INTEGER NOT NULL,
    UNIQUE (kind, brand_id, id)
) STRICT;

-- every three letters of words; what was written is in find_documents
CREATE VIRTUAL TABLE find_words USING fts5(words, content='', contentless_delete=1, tokenize='trigram');

-- up to where what was told is in here
CREATE TABLE find_standing (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    cursor_text TEXT    NOT NULL,
    filled      INTEGER NOT NULL
) STRICT;
