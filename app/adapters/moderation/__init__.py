"""Who judges whether a passage may be shown."""
