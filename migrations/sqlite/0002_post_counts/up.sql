-- The number of posts, which triggers maintain: counting a million rows takes milliseconds, reading this takes microseconds.
-- One slot, because SQLite has one writer at a time; PostgreSQL has several slots.

CREATE TABLE post_counts (
    slot INTEGER PRIMARY KEY,
    posts INTEGER NOT NULL
) STRICT;

INSERT INTO post_counts (slot, posts) SELECT 0, count(*) FROM blog_posts;

CREATE TRIGGER blog_posts_count_added AFTER INSERT ON blog_posts
BEGIN
    UPDATE post_counts SET posts = posts + 1 WHERE slot = 0;
END;

CREATE TRIGGER blog_posts_count_deleted AFTER DELETE ON blog_posts
BEGIN
    UPDATE post_counts SET posts = posts - 1 WHERE slot = 0;
END;
