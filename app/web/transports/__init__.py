"""How the messages of a turn travel to one reader. A transport only reads; it cannot harm the turn."""
