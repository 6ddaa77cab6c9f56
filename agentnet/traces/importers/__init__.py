"""Reads logs that other programs wrote into a trace store: OpenTelemetry GenAI spans, LiteLLM spend logs."""
