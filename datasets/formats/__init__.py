"""Readers of recording files, one format a file: `read(path) -> EventStream`, `write` where we also write it, and the
SUFFIXES that `recording_files` finds it by."""
