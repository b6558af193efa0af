"""What is known of providers and their models, as data: `providers.toml`, `models.toml`, `prices.json`."""
