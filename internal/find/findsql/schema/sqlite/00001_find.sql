-- +goose Up
-- no is the order of answers: kind, brand, and a number that grows within a brand
CREATE TABLE find_documents (
    no       INTEGER PRIMARY KEY,
    name     INTEGER NOT NULL, -- a hash of kind, brand and id
    kind     TEXT    NOT NULL,
    brand_id INTEGER NOT NULL,
    id       TEXT    NOT NULL,
    title    TEXT    NOT NULL,
    words    TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    gone     INTEGER NOT NULL
) STRICT;

CREATE INDEX find_documents_by_name ON find_documents (name);

-- which three letters words have, each once and with blanks between, wherever they stand: what was
-- written is in find_documents
CREATE VIRTUAL TABLE find_words USING fts5(words, content='', contentless_delete=1, detail=none,
    tokenize="ascii tokenchars '!""#$%&''()*+,-./:;<=>?@[\]^_`{|}~'");

-- how many bytes of new words are gathered in memory before they are written, and how many pieces
-- of one size there are before they become one: each word is written again for each size
INSERT INTO find_words (find_words, rank) VALUES ('hashsize', 8388608);
INSERT INTO find_words (find_words, rank) VALUES ('automerge', 16);
INSERT INTO find_words (find_words, rank) VALUES ('crisismerge', 32);

-- up to where what was told is in here
CREATE TABLE find_standing (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    cursor_text TEXT    NOT NULL,
    filled      INTEGER NOT NULL
) STRICT;
