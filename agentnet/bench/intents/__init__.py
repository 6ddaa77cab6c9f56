"""Label packs: routing an utterance to the agents whose intents it holds."""
