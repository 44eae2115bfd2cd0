"""The documents of the API, without a server."""

from __future__ import annotations

import argparse
import asyncio
import json

from app.bootstrap import documents
from app.cli.output import waiting
from app.settings import SharedSettings


def run(settings: SharedSettings, options: argparse.Namespace) -> int:
    """Print one of them as JSON."""
    with waiting("starting the service"):
        openapi, asyncapi = asyncio.run(documents(settings))
    print(json.dumps(asyncapi if options.streams else openapi, indent=2))
    return 0
