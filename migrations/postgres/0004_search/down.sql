DROP INDEX blog_posts_searched;
ALTER TABLE blog_posts DROP COLUMN searched;
DROP FUNCTION search_query(TEXT, BOOLEAN);
DROP FUNCTION searchable(TEXT);

CREATE FUNCTION holds_text(text TEXT, searched TEXT) RETURNS BOOLEAN
LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
AS 'SELECT strpos(lower($1), lower($2)) > 0';
