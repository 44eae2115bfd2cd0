"""Rate limiters: counters of sliding windows."""
