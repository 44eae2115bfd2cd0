"""Tables: sessions of several players, and their turns."""
