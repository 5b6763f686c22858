"""LoRA runs (arXiv 2106.09685): `python -m netwright.tuning`."""
