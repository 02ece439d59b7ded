-- Times are microseconds since 1970, UTC: they sort as numbers, need no parsing, and do not depend on a tool's time zone.
-- To read them: datetime(created_at_micros / 1000000, 'unixepoch').
-- The CHECKs repeat the rules of src/blog/text.rs for programs that write here directly.

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- AUTOINCREMENT: the id of a deleted row is never reused
    tid TEXT NOT NULL CHECK (length(tid) = 36 AND tid = lower(tid)),
    oid TEXT NOT NULL CHECK (length(oid) = 36 AND oid = lower(oid)),
    display_name TEXT NOT NULL CHECK (length(display_name) BETWEEN 1 AND 200),
    created_at_micros INTEGER NOT NULL,
    updated_at_micros INTEGER NOT NULL,
    UNIQUE (tid, oid),
    CHECK (updated_at_micros >= created_at_micros)
) STRICT;

CREATE TABLE blog_posts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 200 AND trim(title) <> ''),
    content TEXT NOT NULL CHECK (trim(content) <> ''),
    -- No cascade, so that deleting a user cannot delete posts by accident.
    author_id INTEGER NOT NULL REFERENCES users (id) ON DELETE RESTRICT,
    created_at_micros INTEGER NOT NULL,
    updated_at_micros INTEGER NOT NULL,
    CHECK (updated_at_micros >= created_at_micros)
) STRICT;

-- For the list, newest first, and for the list of one author.
CREATE INDEX blog_posts_newest ON blog_posts (created_at_micros, id);
CREATE INDEX blog_posts_newest_of_author ON blog_posts (author_id, created_at_micros, id);
