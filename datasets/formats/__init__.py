"""Readers of recording files, one format a file: `read(path) -> EventStream`, `write` where we also write it, and the
SUFFIXES that `recording_files` finds it by. Files of many recordings give an EventDataset and have no SUFFIXES; HDF5 files of
that sort are told apart by content: `fits(open file)`."""
