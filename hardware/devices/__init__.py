"""Devices: what one cell does. One file each; `kind` in a macro's TOML is the file's name. Read `base.py`."""
