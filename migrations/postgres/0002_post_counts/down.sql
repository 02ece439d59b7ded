DROP TRIGGER blog_posts_count_truncated ON blog_posts;
DROP TRIGGER blog_posts_count_deleted ON blog_posts;
DROP TRIGGER blog_posts_count_added ON blog_posts;
DROP FUNCTION count_no_posts();
DROP FUNCTION count_posts_deleted();
DROP FUNCTION count_posts_added();
DROP TABLE post_counts;
