-- PostgreSQL only; the versions are the same in both.
SELECT 1;
