"""Learned topologies: arrays of sampled graphs, environments that score them, and what learns from them.

`agp` and the router ``topology`` (its family) are made from these parts.
"""
