"""The ordered log of a turn: entries, writer, reader."""
