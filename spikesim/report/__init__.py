"""Reports: figures (matplotlib) and one self-contained HTML file."""
