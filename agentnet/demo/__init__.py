"""The demo: the whole circle on a real language model that runs on the CPU."""
