"""Commands on one character or one user: export, import, forget."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from app.bootstrap import add_character, forget_user, read_character
from app.cli.helping import Help, add
from app.cli.output import complain, waiting
from app.core.archive import ArchiveRefused, decode_archive, encode_archive
from app.private_files import FILE_MODE
from app.settings import SharedSettings

_STANDARD: Final = "-"
_EXPORT: Final = Help(
    "write a character to a file",
    "Write what there is of a character to one file that only you can read: its turns with their events, "
    "its progress, the content that its turns refer to and, where journey-log is the embedded one, its "
    "story, quests and places. Turns at tables belong to the table and stay there, and so do idempotency "
    "keys. Works beside a running server, while no turn of the character is open. - writes to standard "
    "output.",
    "dungeon-master export 7c9e6679-7425-40de-944b-e07fc1f90ae7 maren.json",
)
_IMPORT: Final = Help(
    "add a character from a file",
    "Add a character that `export` has written, on SQLite or PostgreSQL, for the same user. A file that is "
    "damaged, or says anything else than what is here already, changes nothing. The same file may be "
    "imported again. What is past its retention is forgotten as usual. Works beside a running server. - "
    "reads standard input.",
    "dungeon-master import maren.json",
)
_FORGET: Final = Help(
    "erase everything of a user",
    "Erase a user: characters, turns, events, keys, budgets, content, conversations, events for other "
    "services, tables of the user's own and, at tables of others, the seat, the user's lines, every line "
    "of story that answers the user, the summary, and the stored turns of all players. What others have "
    "said stays. A user who was removed from a table may take a seat there again. A remote journey-log "
    "keeps what it has. Refused while a turn is open. With SQLite no "
    "server may run, and the file is written anew, so that nothing is left in it. It cannot be undone: a "
    "terminal asks for confirmation, anything else needs --yes.",
    "dungeon-master forget mara --yes",
)


def add_to(commands: Any) -> None:
    """The three commands."""
    command = add(commands, "export", _EXPORT, export)
    command.add_argument("character", help="the character's id")
    command.add_argument("file", help="the file to write, which must not exist")
    command.add_argument("--user", help="whose character, where several users have played it")
    command = add(commands, "import", _IMPORT, import_character)
    command.add_argument("file", help="the file to read")
    command.add_argument(
        "--without-journey-log", action="store_true", help="leave out what journey-log keeps"
    )
    command = add(commands, "forget", _FORGET, forget)
    command.add_argument("user", help="the user's id")
    command.add_argument("--yes", action="store_true", help="do not ask")


def export(settings: SharedSettings, options: argparse.Namespace) -> int:
    """Write the file, whole or not at all. Raises `BadSetting`."""
    try:
        with waiting("reading the character"):
            archive = read_character(settings, options.character, options.user)
        _write(options.file, encode_archive(archive))
    except (ArchiveRefused, PermissionError, FileNotFoundError) as error:
        return _no(error)
    print(
        f"{len(archive.turns)} turns and {len(archive.contents)} contents of {archive.character_id}",
        file=sys.stderr if options.file == _STANDARD else sys.stdout,
    )
    return 0


def import_character(settings: SharedSettings, options: argparse.Namespace) -> int:
    """Add what the file has. Raises `BadSetting`."""
    try:
        archive = decode_archive(_read(options.file))
        with waiting("adding the character"):
            added = add_character(settings, archive, alone=options.without_journey_log)
    except (ArchiveRefused, OSError) as error:
        return _no(error)
    print(f"{archive.character_id} of {archive.user_id}: ", end="")
    print(f"{added.turns} turns and {added.contents} contents were added")
    return 0


def forget(settings: SharedSettings, options: argparse.Namespace) -> int:
    """Erase, after a question. Raises `BadSetting`."""
    if not options.yes and not _confirmed(options.user):
        return 2
    try:
        with waiting("erasing"):
            erased = forget_user(settings, options.user)
    except ArchiveRefused as error:
        return _no(error)
    for name, rows in sorted(erased.items()):
        print(f"{name:24} {rows:>9}")
    if not erased:
        print(f"there was nothing of {options.user}")
    if settings.journey_log_base_url is not None:
        print("the remote journey-log keeps what it has: erase it there")
    return 0


def _confirmed(user: str) -> bool:
    if not sys.stdin.isatty():
        complain("name --yes to erase without being asked")
        return False
    print(f"Everything of {user} will be erased for good. Go on? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _read(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == _STANDARD else Path(name).read_bytes()


def _write(name: str, data: bytes) -> None:
    """Raises `ArchiveRefused` where it cannot be made; one that could not be written whole is removed."""
    if name == _STANDARD:
        sys.stdout.buffer.write(data)
        return
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        raise ArchiveRefused(f"{name}: {error.strerror}") from None
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _no(error: Exception) -> int:
    if isinstance(error, OSError) and error.strerror:
        complain(f"{error.filename}: {error.strerror}")
    else:
        complain(str(error))
    return 1
