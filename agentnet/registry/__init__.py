"""Routers by version: which one serves, which only watches, and how they came to it."""
