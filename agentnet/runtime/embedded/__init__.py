"""The embedded model: a small language model inside this process, for demos, examples and benches."""
