"""A turn's log in the protocols of several kinds of clients."""
