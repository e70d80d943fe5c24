"""Text: characters as numbers, and named normalizers."""
