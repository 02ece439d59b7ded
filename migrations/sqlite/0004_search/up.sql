-- Full-text search. Indexing a post takes ten times as long as storing it, so the index follows later: triggers record the
-- changed posts, whichever program changed them, and src/db/sqlite/search_index.rs indexes them.

-- Contentless: blog_posts has the text.
CREATE VIRTUAL TABLE post_search USING fts5 (
    title, content, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);

-- Posts that are new, changed or deleted since they were indexed.
CREATE TABLE posts_to_index (
    post_id INTEGER PRIMARY KEY
) STRICT;

INSERT INTO posts_to_index (post_id) SELECT id FROM blog_posts;

-- A new random number whenever a post is changed or deleted or an author changes, whichever program does it: entries cached
-- under the previous number are then outdated. Not a counter, which a restored backup would set back. A new post changes
-- only `posts`.
ALTER TABLE post_counts ADD COLUMN state INTEGER NOT NULL DEFAULT 0;
UPDATE post_counts SET state = random();

CREATE TRIGGER blog_posts_added AFTER INSERT ON blog_posts
BEGIN
    INSERT INTO posts_to_index (post_id) VALUES (new.id) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER blog_posts_changed AFTER UPDATE ON blog_posts
BEGIN
    INSERT INTO posts_to_index (post_id) VALUES (new.id) ON CONFLICT DO NOTHING;
    UPDATE post_counts SET state = random() WHERE slot = 0;
END;

CREATE TRIGGER blog_posts_deleted AFTER DELETE ON blog_posts
BEGIN
    INSERT INTO posts_to_index (post_id) VALUES (old.id) ON CONFLICT DO NOTHING;
    UPDATE post_counts SET state = random() WHERE slot = 0;
END;

CREATE TRIGGER users_changed AFTER UPDATE ON users
BEGIN
    UPDATE post_counts SET state = random() WHERE slot = 0;
END;
