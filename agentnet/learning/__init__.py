"""Learning while serving: judges of answers, and the quality-gated learner behind an online router."""
