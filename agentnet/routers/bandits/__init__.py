"""Contextual bandits: routers that learn from the score of the one agent that ran."""
