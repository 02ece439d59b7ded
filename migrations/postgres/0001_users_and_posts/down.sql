DROP FUNCTION holds_text(TEXT, TEXT);
DROP TABLE blog_posts;
DROP TABLE users;
