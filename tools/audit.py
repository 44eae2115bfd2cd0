"""Asks OSV whether a release in the lock files has a known vulnerability.

    python tools/audit.py [--offline-ok] [--lock FILE]... [options of pip-audit]

Exit code 0: none has; 1: some have; 2: could not be found out (0 with `--offline-ok`, said loudly).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCKS = [ROOT / "requirements.lock", ROOT / "requirements-dev.lock"]
# Has been vulnerable since 2014. A service that knows nothing of it, a mirror without data say, would
# find nothing in the locked releases either.
CANARY = "jinja2", "2.4.1"
CANARY_LINE = f"{CANARY[0]}=={CANARY[1]} --hash=sha256:{'0' * 64}\n"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--offline-ok", action="store_true")
    parser.add_argument("--lock", type=Path, action="append")
    chosen, others = parser.parse_known_args(arguments)
    try:
        releases = ask(chosen.lock or LOCKS, others)
    except Unaudited as reason:
        print(f"WARNING: the dependencies could NOT be audited: {reason}", file=sys.stderr)
        return 0 if chosen.offline_ok else 2
    found = [line for release in releases for line in findings(release)]
    print(*found, f"audited {len(releases)} releases: {len(found)} known vulnerabilities", sep="\n")
    return 1 if found else 0


class Unaudited(Exception):
    pass


def ask(locks: list[Path], options: list[str]) -> list[dict[str, Any]]:
    """The releases of the locks as in pip-audit's report. Raises `Unaudited` unless all are known."""
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder) / "canary.txt"
        canary.write_text(CANARY_LINE, encoding="utf-8")
        command = [sys.executable, "-m", "pip_audit", "--vulnerability-service=osv"]
        command += ["--require-hashes", "--disable-pip", "--format=json", "--progress-spinner=off"]
        command += [f"--requirement={path}" for path in [canary, *locks]]
        ran = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    try:
        releases: list[dict[str, Any]] = json.loads(ran.stdout)["dependencies"]
    except ValueError:
        raise Unaudited((ran.stderr.strip() or "no report").splitlines()[-1]) from None
    for release in releases:
        if "skip_reason" in release:
            raise Unaudited(release["skip_reason"])
    canaries = [release for release in releases if is_canary(release)]
    if not any(release["vulns"] for release in canaries):
        raise Unaudited(f"the service does not know that {' '.join(CANARY)} is vulnerable")
    return [release for release in releases if not is_canary(release)]


def is_canary(release: dict[str, Any]) -> bool:
    return (release["name"], release["version"]) == CANARY


def findings(release: dict[str, Any]) -> list[str]:
    return [
        f"{release['name']} {release['version']}: {vulnerability['id']}, fixed in "
        f"{', '.join(vulnerability['fix_versions']) or 'no release'}: {vulnerability['description']}"
        for vulnerability in release["vulns"]
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
