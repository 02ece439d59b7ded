DROP TABLE name_tokens;
