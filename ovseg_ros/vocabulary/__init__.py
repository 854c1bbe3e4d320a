"""The living vocabulary: names with ids, and their groups."""
