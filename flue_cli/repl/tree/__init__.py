"""The tree of a session on the screen: its turns and undone forks, to find a turn and go there."""

from __future__ import annotations

from prompt_toolkit.key_binding.key_bindings import merge_key_bindings

from flue_cli.render.streams import Output
from flue_cli.repl.picker.full_screen import run_full_screen
from flue_cli.repl.picker.key_bindings import choose_mode_keys, common_keys, name_mode_keys
from flue_cli.repl.picker.layout import ListParts, heading_line, list_layout, preview_lines
from flue_cli.repl.tree.rows import tree_rows
from flue_cli.repl.tree.state import TreeView, TurnList
from flue_cli.sessions.tree import TreeTurn
from flue_cli.stores.contract import Store
from flue_cli.stores.records import SessionHead
from flue_cli.turns.cancellation import SignalRoute

REFRESH_SECONDS = 0.5
"""Seconds between checks for changes that other processes made to the store."""

_KEY_HINTS = {
    "choose": "Enter goes there · Ctrl-R labels · Esc leaves",
    "name": "Enter labels, an empty line takes the label off · Esc leaves it as it is",
}


def choose_turn(store: Store, output: Output, cancelling: SignalRoute, head: SessionHead) -> TreeTurn | None:
    """Let the person choose a turn in the tree of a session; None if they choose none.

    Raises StoppedBySignal, and SessionChanged if the session is gone.
    """
    view = TreeView(TurnList(store, head))
    parts = ListParts(
        lambda width, height: tree_rows(view.turns, width, height),
        lambda width, height: [heading_line(view.heading(), width)],
        lambda width, height: preview_lines(*view.preview(), width, height),
        "label: ",
        _KEY_HINTS,
    )
    chosen: TreeTurn | None = run_full_screen(
        view,
        list_layout(view, parts),
        merge_key_bindings(
            [
                common_keys(),
                choose_mode_keys(view, view.choose, {"c-r": view.begin_label}),
                name_mode_keys(view, view.set_label),
            ]
        ),
        output,
        cancelling,
        refresh=view.turns.refresh,
        refresh_seconds=REFRESH_SECONDS,
    )
    return chosen
