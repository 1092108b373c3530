"""For people who write a store: the contract, as tests. Needs pytest.

    class TestMine(StoreContract):
        @pytest.fixture
        def store(self, tmp_path):
            store = MyStore(tmp_path)
            yield store
            store.close()

Every test is a promise of flue_cli.stores.contract.Store, and its docstring says which. Nothing is
assumed about how a store works, but that `lease_seconds` can be set, since some turns must be
forgotten, and that `open_store` knows its scheme, from an entry point if need be.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

_GROUPS = (
    "state",
    "history",
    "turns",
    "lease",
    "lifecycle",
    "renaming",
    "timeline",
    "labels",
    "undone_forks",
    "forks",
    "upkeep",
    "search",
    "identity",
    "agent_origins",
)
pytest.register_assert_rewrite(*(f"flue_cli.testing.{room}" for room in (*_GROUPS, "run_turns")))

from flue_cli.stores.contract import Store  # noqa: E402 - assertions are only explained in what comes later
from flue_cli.testing.agent_origins import AgentOriginCases  # noqa: E402
from flue_cli.testing.forks import ForkCases  # noqa: E402
from flue_cli.testing.history import HistoryCases  # noqa: E402
from flue_cli.testing.identity import IdentityCases  # noqa: E402
from flue_cli.testing.labels import LabelCases  # noqa: E402
from flue_cli.testing.lease import LeaseCases  # noqa: E402
from flue_cli.testing.lifecycle import LifecycleCases  # noqa: E402
from flue_cli.testing.renaming import RenamingCases  # noqa: E402
from flue_cli.testing.search import SearchCases  # noqa: E402
from flue_cli.testing.state import StateCases  # noqa: E402
from flue_cli.testing.timeline import TimelineCases  # noqa: E402
from flue_cli.testing.turns import TurnCases  # noqa: E402
from flue_cli.testing.undone_forks import UndoneForkCases  # noqa: E402
from flue_cli.testing.upkeep import UpkeepCases  # noqa: E402


class StoreContract(
    StateCases,
    HistoryCases,
    TurnCases,
    LeaseCases,
    LifecycleCases,
    RenamingCases,
    TimelineCases,
    LabelCases,
    UndoneForkCases,
    ForkCases,
    UpkeepCases,
    SearchCases,
    IdentityCases,
    AgentOriginCases,
):
    """The promises of every store, from state and history to undone forks, upkeep and search."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """An empty store, closed at the end: to be overridden."""
        raise NotImplementedError("override the fixture `store`: an empty store, closed at the end")


__all__ = ["StoreContract"]
