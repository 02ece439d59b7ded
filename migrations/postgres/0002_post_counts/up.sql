-- The number of posts, which triggers maintain: counting a million rows is slow, adding up sixteen takes microseconds.
-- Each connection counts in the slot of its server process, so that writers seldom wait for each other's commit. A single
-- slot may be negative; only the sum is meaningful.

CREATE TABLE post_counts (
    slot INTEGER PRIMARY KEY,
    posts BIGINT NOT NULL
);

INSERT INTO post_counts (slot, posts) SELECT slot, 0 FROM generate_series(0, 15) AS slot;
UPDATE post_counts SET posts = (SELECT count(*) FROM blog_posts) WHERE slot = 0;

CREATE FUNCTION count_posts_added() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    UPDATE post_counts SET posts = posts + (SELECT count(*) FROM added) WHERE slot = pg_backend_pid() % 16;
    RETURN NULL;
END $$;

CREATE FUNCTION count_posts_deleted() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    UPDATE post_counts SET posts = posts - (SELECT count(*) FROM deleted) WHERE slot = pg_backend_pid() % 16;
    RETURN NULL;
END $$;

CREATE FUNCTION count_no_posts() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    UPDATE post_counts SET posts = 0;
    RETURN NULL;
END $$;

CREATE TRIGGER blog_posts_count_added AFTER INSERT ON blog_posts
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_posts_added();
CREATE TRIGGER blog_posts_count_deleted AFTER DELETE ON blog_posts
    REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION count_posts_deleted();
CREATE TRIGGER blog_posts_count_truncated AFTER TRUNCATE ON blog_posts
    FOR EACH STATEMENT EXECUTE FUNCTION count_no_posts();
