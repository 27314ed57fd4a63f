"""Macros as TOML files; `spikesim.hardware.presets` reads them."""
