"""How much at once: what is over goes into a short queue, and what is over that is refused."""
