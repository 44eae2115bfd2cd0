"""`make test-frontends`: Open WebUI and SillyTavern, installed and played with in Chromium.

Needs Chromium, Node 20 or newer with npm, the network, and 8 GB of disk for Open WebUI's packages, which
are kept in `--cache`. `--only open_webui` or `silly_tavern`; `--pictures FOLDER`: where screenshots go.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import open_webui  # noqa: E402
import silly_tavern  # noqa: E402
from game import PATIENCE, game  # noqa: E402

import browser  # noqa: E402
from browser import chromium  # noqa: E402

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dungeon-master"
PORT = 18_000 + os.getpid() % 10_000


def with_open_webui(cache: Path, work: Path, pictures: Path) -> None:
    place = cache / f"open-webui-{open_webui.VERSION}"
    python = place / "bin" / "python"
    if not (place / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *open_webui.PACKAGES], check=True)
        (place / "installed").touch()
    with (
        game(work / "service") as played,
        open_webui.served(python, work / "front-end", played, PORT) as address,
        chromium() as found,
    ):
        open_webui.play(found, address, played, pictures)


def with_silly_tavern(cache: Path, work: Path, pictures: Path) -> None:
    place = cache / f"sillytavern-{silly_tavern.VERSION}"
    if not (place / "installed").exists():
        place.mkdir(parents=True, exist_ok=True)
        npm = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        subprocess.run([*npm, "--prefix", str(place), *silly_tavern.PACKAGES], check=True)
        (place / "installed").touch()
    with (
        game(work / "service") as played,
        silly_tavern.served(place / "node_modules", work / "front-end", played, PORT) as address,
        chromium() as found,
    ):
        silly_tavern.play(found, address, played, pictures)


RUNS = {"open_webui": with_open_webui, "silly_tavern": with_silly_tavern}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=RUNS)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--pictures", type=Path, default=Path("front-ends"))
    options = parser.parse_args()
    browser.PATIENCE = PATIENCE
    options.cache.mkdir(parents=True, exist_ok=True)
    options.pictures.mkdir(parents=True, exist_ok=True)
    for name in [options.only] if options.only else RUNS:
        with tempfile.TemporaryDirectory(prefix=f"{name}-", ignore_cleanup_errors=True) as work:
            RUNS[name](options.cache, Path(work), options.pictures.resolve())
        print(f"ok  {name}: as many turns as actions; screenshots in {options.pictures}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
