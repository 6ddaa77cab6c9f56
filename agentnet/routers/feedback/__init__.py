"""What is shared by routers that learn from logs in which one agent ran and the others are unknown."""
