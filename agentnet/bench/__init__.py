"""Floor 5: metrics, evaluation protocols and reports."""
