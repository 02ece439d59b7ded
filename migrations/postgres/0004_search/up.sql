-- Full-text search that finds the same as SQLite's (unicode61 remove_diacritics 2): words regardless of case and, on
-- Latin letters, of accents; no stemming and no stop words, because a blog has many languages.

DROP FUNCTION holds_text(TEXT, TEXT);

-- The text's words separated by spaces: lower case, Latin letters without accents, no punctuation, symbols and emoji. The
-- separators are listed, because PostgreSQL's notion of a letter depends on the locale, and its parser treats
-- hyphens, addresses and paths differently.
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

-- The query for words separated by single spaces: all must occur; words joined by punctuation must be adjacent. The
-- last may be a prefix. NULL, which matches nothing, if there is no word.
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

-- Covers a content's first 100,000 characters, twice the default limit of the settings: a tsvector holds at most a megabyte.
ALTER TABLE blog_posts ADD COLUMN searched tsvector GENERATED ALWAYS AS (
    setweight(to_tsvector('simple', searchable(title)), 'A')
    || setweight(to_tsvector('simple', searchable(left(content, 100000))), 'D')
) STORED;

CREATE INDEX blog_posts_searched ON blog_posts USING gin (searched);
