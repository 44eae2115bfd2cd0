"""Signals between processes."""
