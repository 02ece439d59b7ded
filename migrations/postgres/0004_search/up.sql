-- Full-text search with the same matches as SQLite's (unicode61 remove_diacritics 2): it ignores case and, on Latin letters,
-- accents. No stemming and no stop words, because posts may be in any language.

DROP FUNCTION holds_text(TEXT, TEXT);

-- The text's words, separated by spaces: lower case, without accents on Latin letters, punctuation, symbols and emoji. The
-- separators are listed, because PostgreSQL's letters depend on the locale, and its parser treats hyphens, addresses and
-- paths specially.
CREATE FUNCTION searchable(text TEXT) RETURNS TEXT
LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
AS $$
SELECT regexp_replace(
    normalize(regexp_replace(normalize(lower($1), NFD), '([a-z])[\u0300-\u036F]+', '\1', 'g'), NFC),
    '[\u0001-\u002F\u003A-\u0040\u005B-\u0060\u007B-\u00A9\u00AB-\u00B1\u00B4\u00B6-\u00B8\u00BB\u00BF\u00D7\u00F7'
    || '\u2000-\u206F\u20A0-\u20CF\u2190-\u245F\u2500-\u2775\u2794-\u2BFF\u2E00-\u2E2E\u3000-\u3004\u3008-\u3020\u30FB'
    || '\uFE10-\uFE6F\uFF01-\uFF0F\uFF1A-\uFF20\uFF3B-\uFF40\uFF5B-\uFF65\U0001F000-\U0001FAFF]+',
    ' ', 'g'
)
$$;

-- The query for words separated by single spaces: a post must contain all of them. Words joined by punctuation must be
-- adjacent. The last one may also be the beginning of a word. NULL, which matches nothing, if there is no word.
CREATE FUNCTION search_query(searched TEXT, last_is_prefix BOOLEAN) RETURNS tsquery
LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
AS $$
SELECT string_agg('(' || words || CASE WHEN last_is_prefix AND number = count THEN ':*' ELSE '' END || ')', ' & ')::tsquery
FROM (
    SELECT phraseto_tsquery('simple', searchable(piece))::text AS words, number, count(*) OVER () AS count
    FROM regexp_split_to_table($1, ' ') WITH ORDINALITY AS pieces (piece, number)
    WHERE btrim(searchable(piece)) <> ''
) AS parts
WHERE words <> ''
$$;

-- Covers the first 100,000 characters of a content, twice the default limit: a tsvector has at most a megabyte.
ALTER TABLE blog_posts ADD COLUMN searched tsvector GENERATED ALWAYS AS (
    setweight(to_tsvector('simple', searchable(title)), 'A')
    || setweight(to_tsvector('simple', searchable(left(content, 100000))), 'D')
) STORED;

CREATE INDEX blog_posts_searched ON blog_posts USING gin (searched);
