"""Implementations of `agentnet.runtime.client.ModelClient`; import the one you need from its module."""
