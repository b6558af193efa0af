"""What the network sees. HTTP is known here and nowhere else."""
