"""Ways to repair chips, one file each; read `base.py`. `study.py` measures what each gives, in points, paired."""
