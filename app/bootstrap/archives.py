"""Characters as files, and the erasure of users: the journal together with journey-log."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from app.adapters.store.postgres.archives import PostgresArchives
from app.adapters.store.postgres.connecting import Database
from app.adapters.store.sqlite.archives import SqliteArchives
from app.bootstrap.journey_log import embedded_path, journey_log_client
from app.bootstrap.store import open_store, refusing_the_start
from app.core.archive import Archive, ArchiveRefused
from app.errors import DungeonMasterError
from app.ports.archives import Added, Archives, Erased
from app.ports.call import CallMeta
from app.ports.clock import Clock
from app.settings import BadSetting, SharedSettings
from app.standins.journey_log.archive import Conflict, JourneyArchive

_MISSING: Final = (
    "the file has no part of journey-log, since a remote one kept it, and the embedded one of these"
    " settings has no such character; set JOURNEY_LOG_BASE_URL, or name --without-journey-log"
)
_SURPLUS: Final = (
    "the file has a part of journey-log, which the remote one of JOURNEY_LOG_BASE_URL does not take;"
    " --without-journey-log leaves it out"
)


def read_character(settings: SharedSettings, character_id: str, user: str | None) -> Archive:
    """`user`: whose character, where the id alone does not say it. Raises `BadSetting` or
    `ArchiveRefused`."""
    with _refusing():
        archives = _archives(settings)
        with _journey(settings) as journey:
            owner = user or _owner(archives, journey, character_id)
            archive = archives.read(owner, character_id)
            document = None if journey is None else journey.document(character_id)
            if document is not None and document["characters"][0]["owner"] != owner:
                raise ArchiveRefused(f"character {character_id} is not {owner}'s")
            found = archive.model_copy(update={"journey_log": document})
            if archives.read(owner, character_id) != archive:
                raise ArchiveRefused("the character has taken a turn meanwhile; try again")
    if not (found.turns or found.progress or found.journey_log):
        raise ArchiveRefused(f"there is no character {character_id}")
    return found


def add_character(settings: SharedSettings, archive: Archive, *, alone: bool) -> Added:
    """`alone`: leave out what journey-log is to keep. Raises `BadSetting` or `ArchiveRefused`."""
    with _refusing():
        if not settings.on_postgres and not settings.store_path.exists():
            asyncio.run(open_store(settings, Clock().now, _ended).aclose())
        archives = _archives(settings)
        with _journey(settings, make=True) as journey:
            document = None if alone else archive.journey_log
            if not alone and (journey is None) != (document is None):
                raise ArchiveRefused(_MISSING if document is None else _SURPLUS)
            archives.add(archive, check_only=True)
            if journey is not None and document is not None:
                journey.add(archive.character_id, archive.user_id, document)
            return archives.add(archive)


def forget_user(settings: SharedSettings, user: str) -> Erased:
    """Raises `BadSetting` or `ArchiveRefused`."""
    with _refusing():
        archives = _archives(settings)
        with _journey(settings) as journey:
            named = _remote_characters(settings, user) if journey is None else journey.owned(user)
            erased = dict(archives.forget(user, named))
            if journey is not None and (count := journey.erase(user)):
                erased["journey-log characters"] = count
            return erased


@contextmanager
def _refusing() -> Iterator[None]:
    """Raises `BadSetting` for a database that cannot be used, `ArchiveRefused` for what is elsewhere."""
    try:
        with refusing_the_start():
            yield
    except Conflict as error:
        raise ArchiveRefused(str(error)) from None


def _archives(settings: SharedSettings) -> Archives:
    if settings.on_postgres:
        return PostgresArchives(Database(settings.store_url))
    if not settings.store_path.exists():
        raise BadSetting(f"STORE_URL: there is no database at {settings.store_path}")
    return SqliteArchives(settings.store_path)


@contextmanager
def _journey(settings: SharedSettings, *, make: bool = False) -> Iterator[JourneyArchive | None]:
    """The embedded journey-log; None where a remote one is used, or none was made yet."""
    elsewhere = settings.journey_log_base_url is not None or settings.on_postgres
    if elsewhere or not (make or embedded_path(settings).exists()):
        yield None
        return
    with closing(JourneyArchive(embedded_path(settings))) as journey:
        yield journey


def _owner(archives: Archives, journey: JourneyArchive | None, character_id: str) -> str:
    """Raises `ArchiveRefused` where it is not known."""
    owner = None if journey is None else journey.owner(character_id)
    players = [owner] if owner else archives.players(character_id)
    if not players:
        raise ArchiveRefused(f"there is no character {character_id}")
    if len(players) > 1:
        raise ArchiveRefused(f"several users have played {character_id}: name one by --user")
    return players[0]


def _remote_characters(settings: SharedSettings, user: str) -> list[str]:
    """Raises `ArchiveRefused` where the remote journey-log does not say."""
    if settings.journey_log_base_url is None:
        return []
    try:
        return asyncio.run(_asked(settings, user))
    except DungeonMasterError as error:
        raise ArchiveRefused(
            f"JOURNEY_LOG_BASE_URL: it does not say which characters are {user}'s: {error.message}"
        ) from None


async def _asked(settings: SharedSettings, user: str) -> list[str]:
    tls = ssl.create_default_context()
    client = journey_log_client(settings, None, tls, lambda operation, status, seconds: None)
    try:
        found = await client.characters(user, CallMeta("forget"))
        return [str(one["character_id"]) for one in found]
    finally:
        await client.aclose()


def _ended(reason: str) -> None:
    raise BadSetting(f"STORE_URL: {reason}")
