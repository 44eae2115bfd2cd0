"""The journal on PostgreSQL, for any number of processes."""
