"""Routing by a language model that reasons over agents' descriptions (TCAR, arXiv 2601.04544).

`prompt` writes what the model reads, `reply` reads what it wrote, `reward` scores a chosen set, `model` is
the seam to the model.
"""
