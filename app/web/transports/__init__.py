"""Transports carry the messages of a turn to one reader. A transport only reads; it cannot harm the
turn."""
