"""Implementations of the ports. Only `app.bootstrap` imports from here."""
