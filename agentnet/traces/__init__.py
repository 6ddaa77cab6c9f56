"""Floor 3: the trace store. Knows nothing of routers' insides."""
