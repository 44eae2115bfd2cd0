"""Message hubs."""
