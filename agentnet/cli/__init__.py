"""Floor 6: the command line. Thin; holds no logic."""
