"""Outcomes from traces: who scores them, how far a judge agrees with gold, and what its errors hide."""
