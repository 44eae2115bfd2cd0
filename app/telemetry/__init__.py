"""Logs and metrics: what the facts of `app.turns.observe` become for operators."""
