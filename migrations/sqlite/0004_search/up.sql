-- Full-text search. Adding a post to the index costs ten times what storing it does, so the index follows: triggers
-- note which posts it lacks, whoever writes them, and src/db/sqlite/search_index.rs takes the notes in.

-- Without a copy of the text: the posts have it.
CREATE VIRTUAL TABLE post_search USING fts5 (
    title, content, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);

-- Posts that the index lacks, or knows in an older form, or that are gone.
CREATE TABLE posts_to_index (
    post_id INTEGER PRIMARY KEY
) STRICT;

INSERT INTO posts_to_index (post_id) SELECT id FROM blog_posts;

-- Another random number whenever a post changes or goes, or an author changes, whoever does it: what was kept in memory
-- under the number read before is then known to be old. No counter, which a restored backup would set back. A new post
-- changes `posts` alone.
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
