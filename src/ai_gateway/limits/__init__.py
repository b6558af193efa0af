"""How often, how much at once, and for how much: admitted in one step, settled once."""
