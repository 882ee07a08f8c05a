"""SOQL: text to tokens (`tokens`), to a tree (`syntax`, `parser`), to one SQL statement over the store (`compiler`)."""
