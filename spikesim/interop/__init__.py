"""Other packages' models and data: one file each, importing its package only when it is used."""
