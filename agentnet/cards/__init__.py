"""Floor 5: agent cards: import, description, lint and editing of the agents of a pool."""
