"""The assertions of the tests are rewritten by two processes.

pytest rewrites a file of tests when it imports it: half of what a collection costs, while no test runs and
another processor has nothing to do.
"""

from __future__ import annotations

import gc
import marshal
import mmap
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Final, NoReturn

import pytest
from _pytest.assertion import rewrite
from _pytest.config import Config

TESTS: Final = Path(__file__).parent
_HASH_BYTES: Final = 8


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Where all tests are collected, not some files of them."""
    config = session.config
    if config.option.forks < 2 or config.args_source != Config.ArgsSource.TESTPATHS:
        return (yield)
    # Its warming up takes seconds, in which one process collects and other processors have nothing to do.
    import_module("processes").run_the_server()
    gc.disable()  # what is collected stays
    try:
        with rewritten_by_two(config):
            return (yield)
    finally:
        gc.enable()


@contextmanager
def rewritten_by_two(config: pytest.Config) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        helper = Helper(config, Path(folder))
        patch.setattr(rewrite, "_rewrite_test", helper.take)
        try:
            yield
        finally:
            helper.stop()


class Helper:
    """A forked process that rewrites files from the last one on, while this one comes from the first."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._rewrite = rewrite._rewrite_test
        self._config = config
        self._folder = folder
        self._files = sorted(TESTS.rglob("test_*.py"))
        self._numbers = {file: number for number, file in enumerate(self._files)}
        self._taken = mmap.mmap(-1, len(self._files))  # which ones this process has come to
        self._pid = os.fork()
        if self._pid == 0:
            self._work()

    def take(self, file: Path, config: pytest.Config) -> tuple[bytes, object]:
        """The hash of the source and the code, as `_rewrite_test` of pytest returns them."""
        number = self._numbers.get(file)
        if number is None:
            return self._rewrite(file, config)
        self._taken[number] = 1
        try:
            made = self._made(number).read_bytes()
        except FileNotFoundError:
            return self._rewrite(file, config)
        return made[:_HASH_BYTES], marshal.loads(made[_HASH_BYTES:])

    def stop(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def _made(self, number: int) -> Path:
        return self._folder / str(number)

    # -- in the forked process --------------------------------------------------------------------

    def _work(self) -> NoReturn:
        """A file that it cannot rewrite is reported by the other process."""
        try:
            with suppress(Exception):
                for number in reversed(range(len(self._files))):
                    if not (self._taken[number] or self._is_kept(self._files[number])):
                        self._make(number)
        finally:
            os._exit(0)

    def _is_kept(self, file: Path) -> bool:
        """By an earlier run."""
        kept = rewrite.get_cache_dir(file) / (file.stem + rewrite.PYC_TAIL)
        return rewrite._read_pyc(file, kept) is not None

    def _make(self, number: int) -> None:
        source_hash, code = self._rewrite(self._files[number], self._config)
        whole = self._folder / f"{number}.part"
        whole.write_bytes(source_hash + marshal.dumps(code))
        whole.rename(self._made(number))
