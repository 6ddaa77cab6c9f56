"""Alembic migrations of the trace store; they run by themselves when a store is opened."""
