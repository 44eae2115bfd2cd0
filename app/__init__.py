"""The Dungeon Master turn service: streams a story to players and writes it down exactly once."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("dungeon-master")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"
