"""Templates of instructions by type, written for us; `{name}` is a slot, `{name1}` the same again."""
