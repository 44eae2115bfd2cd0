"""Two nodes on one PostgreSQL, disturbed. A short form; `make chaos` runs the same for minutes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos_faults import Fault
from chaos_nodes import CONTROLS, Cluster, on_nodes, stopped_and_replaced

from databases import PostgresServer

SHORT = (
    Cluster.kill_backend,
    Cluster.stop_node_and_free_its_turns,
    Cluster.kill_node,
    Cluster.restart_immediate,
)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """One of its own: it is killed and restarted."""
    server = PostgresServer()
    yield server
    server.close()


def test_disturbed_nodes_lose_double_and_reorder_nothing(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    result = on_nodes(
        tmp_path, postgres, turns=60, players=8, disturbances=SHORT, rounds=4, pauses=(0.2, 0.6)
    )
    assert result.findings == []
    assert result.audit.statuses["complete"] >= 40
    assert result.kills["kill_backend"] == 1


@pytest.mark.parametrize(("broken", "kind"), CONTROLS)
def test_without_a_part_of_the_protocol_a_node_that_was_replaced_does_damage(
    tmp_path: Path, postgres: PostgresServer, broken: Fault, kind: str
) -> None:
    result = stopped_and_replaced(tmp_path, kind, postgres, broken)
    assert result.audit.duplicated != []
