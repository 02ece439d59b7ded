-- PostgreSQL only; both databases have the same versions.
SELECT 1;
