"""Multi-hop questions with passages, answered live by agents on the embedded model, and recorded once."""
