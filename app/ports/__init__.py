"""Ports: interfaces to the outside, one a file; `bootstrap` chooses the adapters."""
