"""Readers of recording files, one format a file: `read(path) -> EventStream`, and `write` where we also write it."""
