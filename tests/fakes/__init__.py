"""Real servers on loopback that stand in for the model and for journey-log."""
