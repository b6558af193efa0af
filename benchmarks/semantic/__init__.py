"""What the semantic cache is measured with: a real embedder on this machine, and labelled pairs."""
