"""Who has had how much."""
