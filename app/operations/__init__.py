"""Health, metrics, policy and the admin API."""
