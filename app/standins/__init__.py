"""Upstreams that run in the process: the offline storyteller and the embedded journey-log."""
