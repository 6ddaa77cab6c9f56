"""Agents that talk to each other on the embedded model: rollouts of random topologies, recorded once."""
