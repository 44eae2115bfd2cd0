"""Calling models: one request type for every purpose."""
