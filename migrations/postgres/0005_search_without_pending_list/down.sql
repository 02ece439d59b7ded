ALTER INDEX blog_posts_searched SET (fastupdate = on);
