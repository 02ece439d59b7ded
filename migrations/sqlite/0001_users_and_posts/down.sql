DROP TABLE blog_posts;
DROP TABLE users;
