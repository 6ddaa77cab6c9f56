"""Simulated streams: worlds whose best paths are known, for what no recording can tell.

Nothing here calls a model. Every figure these modules give is *simulated* and is labelled so.
"""
