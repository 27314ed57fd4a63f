"""Converters between currents and codes. One file each."""
