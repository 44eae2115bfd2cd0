"""The options that the benches share."""

from __future__ import annotations

import argparse
from collections.abc import Collection


def bench_parser(
    prog: str, about: str | None, measurements: Collection[str]
) -> argparse.ArgumentParser:
    """`measurements`: names that `--only` takes."""

    def names(text: str) -> list[str]:
        asked = text.split(",")
        if unknown := set(asked) - set(measurements):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
        return [name for name in measurements if name in asked]

    parser = argparse.ArgumentParser(
        prog=prog, description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=names, help=f"some of: {', '.join(measurements)}")
    parser.add_argument("--rounds", type=int, default=3, help="medians are taken of so many")
    parser.add_argument("--quick", action="store_true", help="only shows that the bench works")
    return parser
