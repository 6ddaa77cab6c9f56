"""Floor 1: agents, pools, tasks and task graphs. Calls no model and opens no database."""
