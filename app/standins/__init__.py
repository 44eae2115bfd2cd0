"""What works without an upstream: the offline storyteller, the embedded journey-log."""
