"""Floor 4: runs task graphs: LangGraph, models through LiteLLM, tools, sandbox, limits, recording."""
