"""Converters between currents and codes. One file each; `kind` in a macro's TOML is the file's name. Read `base.py`."""
