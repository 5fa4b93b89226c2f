"""The schema, one numbered step a file; the last number is the file's ``user_version``."""
