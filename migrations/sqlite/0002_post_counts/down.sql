DROP TRIGGER blog_posts_count_deleted;
DROP TRIGGER blog_posts_count_added;
DROP TABLE post_counts;
