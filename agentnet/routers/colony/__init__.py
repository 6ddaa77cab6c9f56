"""The colony behind ``amro_s``: layered graphs, pheromones, the walk over them and their update.

Source: AMRO-S (arXiv 2603.12933). `space` says where an ant may stand and go, `pheromones` holds what was
learned, `heuristic` what is known of the agents at this moment, `walk` draws paths, `update` learns from
judged ones, `warm_start` from recorded outcomes.
"""
