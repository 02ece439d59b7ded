DROP TRIGGER users_changed;
DROP TRIGGER blog_posts_deleted;
DROP TRIGGER blog_posts_changed;
DROP TRIGGER blog_posts_added;
ALTER TABLE post_counts DROP COLUMN state;
DROP TABLE posts_to_index;
DROP TABLE post_search;
