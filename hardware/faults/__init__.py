"""Faults: cells that do not do what they were told. One preset a file; `kind` in a macro's TOML is the file's name."""
