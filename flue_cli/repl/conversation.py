"""The conversation of a chat: an agent, a session, and the state of the session that the person has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from flue_cli.agents.api import Message
from flue_cli.agents.discovery import Agent
from flue_cli.errors import (
    FlueError,
    NothingToMove,
    SessionBusy,
    SessionChanged,
    SessionExists,
    UsageError,
)
from flue_cli.repl.agent_file import AgentLoader, LoadedAgent
from flue_cli.repl.options import ChatOptions
from flue_cli.sessions import data_edits, timeline
from flue_cli.sessions.data_edits import DataEdit, DraftFolder, WaitOptions
from flue_cli.sessions.timeline import MissedChanges, TimelineMove, find_missed_changes
from flue_cli.stores.contract_errors import session_changed_error
from flue_cli.stores.records import ABSENT, BegunTurn, Entry, Pause, SessionHead, TurnRequest
from flue_cli.stores.rules import check_agent_origin, check_unchanged
from flue_cli.turns.call_agent import OnPiece
from flue_cli.turns.cancellation import Cancellation
from flue_cli.turns.dry_run import DryRunner, DryRunResult, next_turn_input
from flue_cli.turns.runner import Listener, Runner, Turn


class Conversation:
    """A chat's agent and session. The session is created by its first prompt.

    Whatever takes turns back requires that the session is as the person last saw it.
    """

    def __init__(
        self,
        runner: Runner,
        loaded: LoadedAgent,
        name: str,
        expect: str,
        options: ChatOptions,
        agent_loader: AgentLoader = AgentLoader(),  # noqa: B008 - immutable
        *,
        adopts: bool = False,
    ) -> None:
        """`expect` is "any", "new" or "existing"; `adopts`: the session may be of another project's agent."""
        self.store = runner.store
        self._runner = runner
        self._dry_runner = DryRunner()
        self.loaded = loaded
        self.options = options
        self.agent_loader = agent_loader
        self.reply_format_override = ""
        self.last_traceback = ""  # of the agent's last failure in this chat
        self.shows_times = False
        self.switch_session(name, expect)
        self._adopts = adopts

    @property
    def agent(self) -> Agent:
        """The agent that answers."""
        return self.loaded.agent

    @property
    def reply_format(self) -> str:
        """Format of replies, "text" or "markdown": the person's choice, else the agent's."""
        return self.reply_format_override or self.agent.reply_format

    def switch_agent(self, loaded: LoadedAgent, name: str, expect: str) -> None:
        """Continue in the session `name` of another agent. Raises OtherAgent."""
        self.check_agent_origin(loaded.agent, name)
        self.loaded = loaded
        self.switch_session(name, expect)

    def switch_session(self, name: str, expect: str) -> None:
        """Continue in the session `name` of the same agent."""
        self._adopts = False
        self.name = name
        self._expect = expect
        self._shown_head = self.head()  # the state that is on the screen

    def enter_fork(self, session: SessionHead) -> None:
        """Continue in a session of the same agent that shares turns with this one.

        Raises SessionChanged if it is gone, and OtherAgent.
        """
        if self.store.head(session.agent, session.name).uid != session.uid:
            raise session_changed_error(session.name)
        self.check_agent_origin(self.agent, session.name)
        self.switch_session(session.name, "existing")

    def check_agent_origin(self, agent: Agent, name: str) -> None:
        """Raise OtherAgent if the session `name` was used with an agent of that name from another place."""
        origins = self.store.agent_origins(self.store.head(agent.name, name))
        check_agent_origin(agent.name, name, origins, agent.origin)

    def begin_session(self, name: str) -> None:
        """Continue in a new session of the same agent; SessionExists if there is one called `name`."""
        if self.session_exists(self.agent.name, name):
            raise SessionExists(f"session '{name}' exists already", hint="resume it: /resume NAME")
        self.switch_session(name, "new")

    def session_exists(self, agent: str, name: str) -> bool:
        """True if `agent` has a session called `name`."""
        return self.store.head(agent, name).uid != ABSENT

    def head(self) -> SessionHead:
        """Read the session's present head."""
        return self.store.head(self.agent.name, self.name)

    def data(self) -> str:
        """Read the session's present data, as JSON text."""
        head = self.head()
        return self.store.data_at(head, head.turn)

    # Turns

    def run_turn(self, prompt: str, listener: Listener, cancellation: Cancellation) -> Turn:
        """Answer `prompt`; raises as turns.runner.Runner, and SessionChanged if the session was replaced."""
        self._current_head()
        request = TurnRequest(
            self.agent.name,
            self.name,
            prompt,
            uid=self._shown_head.uid,
            expect=self._expect,
            wait=self.options.wait,
            adopts=self._adopts,
        )
        turn = self._runner.run(
            self.agent, request, listener, cancellation=cancellation, timeout=self.options.timeout
        )
        self._shown_head = self._shown_head._replace(version=turn.version)
        return turn

    def tool_messages(self, turn: Turn) -> Sequence[Message]:
        """Read the messages between the prompt and the reply of a turn that has just ended."""
        if turn.error:
            return ()
        try:
            entries = self.store.entries(self.head(), turn.turn, turn.turn)
            return next((entry.messages for entry in entries if entry.prompt == turn.prompt), ())
        except FlueError:  # deleted meanwhile; the reply is there
            return ()

    def dry_run(
        self,
        prompt: str,
        on_piece: OnPiece,
        on_stuck: Callable[[DryRunResult], None],
        cancellation: Cancellation,
    ) -> DryRunResult:
        """Let the agent answer `prompt` without storing anything."""
        return self._dry_runner.run(
            self.agent,
            next_turn_input(self.store, self._current_head(), prompt),
            cancellation=cancellation,
            timeout=self.options.timeout,
            on_piece=on_piece,
            on_stuck=on_stuck,
        )

    # The timeline

    def undo(self, count: int, pause: Pause) -> TimelineMove:
        """Undo the last `count` turns; raises as timeline.undo_turns."""
        return self._move_turns(timeline.undo_turns, count, pause)

    def redo(self, count: int, pause: Pause) -> TimelineMove:
        """Redo `count` undone turns; raises as timeline.redo_turns."""
        return self._move_turns(timeline.redo_turns, count, pause)

    def rewind(self, turn: int, pause: Pause) -> tuple[TimelineMove, str]:
        """Go back to `turn`; also return the prompt after it, "" for none. Raises as timeline.rewind."""
        head = self._unchanged_head()
        move = self._remember_move(
            timeline.rewind_to_turn(self.store, head, turn, wait=self.options.wait, pause=pause)
        )
        redo_head = self.store.redo_head(move.after)
        undone = self.store.entries(redo_head, turn + 1, redo_head.turn)
        return move, next((entry.prompt for entry in undone if entry.kind == "prompt"), "")

    def rewind_before_last_prompt(self, pause: Pause) -> tuple[TimelineMove | None, str]:
        """Go back to before the last prompt if it was answered, and return the prompt.

        Raises NothingToMove if there is none, SessionBusy if it is being answered.
        """
        head = self._unchanged_head()
        last = next((entry for entry in self._backwards(head) if entry.kind == "prompt"), None)
        if last is None:
            raise NothingToMove("there is no prompt to send again")
        if last.outcome == "running":
            raise _still_running_error(last)
        if last.outcome != "completed":
            return None, last.prompt
        move = timeline.rewind_to_turn(self.store, head, last.turn - 1, wait=self.options.wait, pause=pause)
        return self._remember_move(move), last.prompt

    def discard(self, pause: Pause) -> Entry:
        """Take the interrupted prompt off the timeline and return it. NothingToMove if there is none."""
        head = self._unchanged_head()
        newest = next(self._backwards(head), None)
        if newest is None or newest.outcome != "interrupted":
            raise NothingToMove("there is no interrupted prompt to discard")
        # Settles the prompt if the crash left it unsettled, and goes back to before it.
        self._shown_head = self.store.move_head(head, newest.turn - 1, wait=self.options.wait, pause=pause)
        return newest

    def _backwards(self, head: SessionHead) -> Iterator[Entry]:
        """Yield the entries, newest first, with the prompt that is not settled."""
        yield from self.unsettled_prompts()
        yield from timeline.entries_backwards(self.store, head)

    def set_label(self, label: str) -> int:
        """Label the newest turn, or take its label off with ""; return its number.

        Raises NothingToMove if there is no turn.
        """
        head = self._unchanged_head()
        if not head.turn:
            raise NothingToMove("there is no turn to label: the session is at its start")
        self.store.set_label(head, head.turn, label)
        return head.turn

    def rename(self, name: str, pause: Pause) -> str:
        """Rename the session and return its old name. Raises as Store.rename."""
        old_name = self.name
        if self._current_head().uid == ABSENT:  # not created yet: only the name changes
            self.begin_session(name)
            return old_name
        head = self._existing_head()
        origin = self.store.origin(head)
        if origin and origin.is_undone_fork:
            raise UsageError(
                f"session '{head.name}' has undone turns of '{origin.name}', and is named after it",
                hint="copy it under another name: /fork NAME",
            )
        self.store.rename(head, name, wait=self.options.wait, pause=pause)
        self.name, self._expect = name, "existing"
        self._shown_head = self._shown_head._replace(name=name)
        return old_name

    def fork(self, name: str, turn: int | None) -> SessionHead:
        """Continue in a copy of the session, at its head or at `turn`; raises as Store.fork."""
        head = self._existing_head()
        fork = self.store.fork(head if turn is None else self.store.head_at(head, turn), name)
        self.switch_session(name, "existing")
        return fork

    def set_data(self, path: str, value: str, pause: Pause) -> str:
        """Set the data at `path` to the JSON `value`; return a notice. Raises as data_edits.set_value."""
        return self._remember_edit(
            data_edits.set_value(
                self.store, self._existing_head(), path, value, self._make_wait_options(pause)
            )
        )

    def unset_data(self, path: str, pause: Pause) -> str:
        """Remove the data at `path`; return a notice. Raises as data_edits.unset_value."""
        return self._remember_edit(
            data_edits.unset_value(self.store, self._existing_head(), path, self._make_wait_options(pause))
        )

    def edit_data(self, show_notice: Callable[[str], None], pause: Pause) -> str:
        """Open the data in the person's editor; return a notice. Raises as data_edits.edit_as_text."""
        import shlex

        retry_command = shlex.join(
            ["flue", "sessions", "set", f"{self.agent.name}/{self.name}", "", *self.options.store_flags]
        )
        drafts = DraftFolder(self.options.drafts_folder, retry_command, show_notice)
        return self._remember_edit(
            data_edits.edit_as_text(self.store, self._existing_head(), drafts, self._make_wait_options(pause))
        )

    def _remember_edit(self, edited: DataEdit) -> str:
        if (
            edited.head.version == self._shown_head.version + 1
        ):  # else somebody made turns that are to be shown
            self._shown_head = edited.head
        return edited.message

    def _make_wait_options(self, pause: Pause) -> WaitOptions:
        return WaitOptions(self.options.wait, pause)

    def _unchanged_head(self) -> SessionHead:
        """Read the head of an existing session; SessionChanged if it differs from what was shown."""
        head = self._existing_head()
        check_unchanged(self._shown_head, head)
        return head

    def _existing_head(self) -> SessionHead:
        """Read the head of the session; NothingToMove if it does not exist yet, else as `_current_head`."""
        head = self._current_head()
        if head.uid == ABSENT:
            raise NothingToMove("nothing has been said yet")
        return head

    def _current_head(self) -> SessionHead:
        """Read the head of the session; SessionChanged if it was deleted, or another took its name."""
        head = self.head()
        if self._shown_head.uid not in (ABSENT, head.uid):
            message = session_changed_error(self.name).message
            raise SessionChanged(message, hint="/new begins another, /sessions lists the existing ones")
        return head

    def _move_turns(self, move: Callable[..., TimelineMove], count: int, pause: Pause) -> TimelineMove:
        return self._remember_move(
            move(self.store, self._unchanged_head(), count, wait=self.options.wait, pause=pause)
        )

    def _remember_move(self, move: TimelineMove) -> TimelineMove:
        self._shown_head = move.after
        return move

    # Changes by other processes

    def missed_changes(self) -> MissedChanges:
        """Return the changes others made to the session since it was last shown, and mark them seen."""
        head = self.head()
        if self._shown_head.uid not in (ABSENT, head.uid):
            return MissedChanges()
        missed = find_missed_changes(self.store, self._shown_head, head)
        self._shown_head = head
        return missed

    def missed_changes_before(self, begun: BegunTurn) -> MissedChanges:
        """Return the changes between the state last shown and the turn that begins, and mark them seen.

        An interrupted prompt is left out: it has a notice of its own.
        """
        lease = begun.lease
        missed = find_missed_changes(self.store, self._shown_head, lease.head)
        self._shown_head = lease.head._replace(turn=lease.turn, branch=lease.branch or lease.head.branch)
        self._expect = "existing"
        interrupted = begun.interrupted.turn if begun.interrupted else 0
        return missed._replace(turns=[entry for entry in missed.turns if entry.turn != interrupted])

    def unsettled_prompts(self) -> list[Entry]:
        """Find the prompt that another process is answering, or that a crash left, if there is one."""
        entry = self.store.unsettled_prompt(self.head())
        return [entry] if entry else []

    def mark_seen(self) -> SessionHead:
        """Mark the whole session as seen and return its head."""
        self._shown_head = self.head()
        return self._shown_head

    def resume_command(self) -> str:
        """Make the command that resumes the session, quoted for a shell; "" if nothing was saved."""
        if not self.options.is_saved or self.head().uid == ABSENT:
            return ""
        import shlex

        return shlex.join(["flue", "chat", self.agent.name, "-r", self.name, *self.options.repeat_flags])

    def close(self) -> None:
        """Stop the watchdog of dry runs."""
        self._dry_runner.close()


def _still_running_error(entry: Entry) -> SessionBusy:
    return SessionBusy(f"turn {entry.turn} is being answered in another process", hint="wait for its reply")
