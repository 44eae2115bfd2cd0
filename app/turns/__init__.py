"""A turn from admission to its terminal event."""
