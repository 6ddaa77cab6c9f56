"""Floor 2: outcome tables, packs, splits and text encoders. Knows no router."""
