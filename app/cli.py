"""`dungeon-master`: the command line."""

from __future__ import annotations

import argparse
import sys

from app import __version__
from app.server import serve
from app.settings import BadSetting, load_settings
from app.telemetry.logs import configure_logging


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dungeon-master", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve the API and the play page")
    parser.parse_args(arguments)
    try:
        return _serve()
    except BadSetting as error:
        print(f"dungeon-master: {error}", file=sys.stderr)
        return 2


def _serve() -> int:
    settings = load_settings()
    configure_logging(
        level=settings.log_level,
        json=settings.log_json_format,
        service=settings.service_name,
        environment=settings.environment,
    )
    serve(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
