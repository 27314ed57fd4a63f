"""Mappings: how a signed weight becomes conductances. One file each."""
