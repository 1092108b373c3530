"""The conversation of a chat: an agent, a session, and the last state shown to the person."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flue_cli.agents.discovery import Agent
from flue_cli.errors import NothingToMove, SessionBusy, SessionChanged, SessionExists, UsageError
from flue_cli.repl.agent_file import AgentLoader, LoadedAgent
from flue_cli.repl.options import ChatOptions
from flue_cli.sessions import data_edits, timeline
from flue_cli.sessions.data_edits import DataEdit, DraftFolder, WaitOptions
from flue_cli.sessions.timeline import MissedChanges, TimelineMove, find_missed_changes
from flue_cli.stores.contract_errors import session_changed_error
from flue_cli.stores.records import ABSENT, BegunTurn, Entry, Pause, SessionHead, TurnRequest
from flue_cli.stores.rules import check_unchanged
from flue_cli.turns.call_agent import OnPiece
from flue_cli.turns.cancellation import Cancellation
from flue_cli.turns.dry_run import DryRunner, DryRunResult, next_turn_input
from flue_cli.turns.runner import Listener, Runner, Turn


class Conversation:
    """A chat's session and agent. The session is only made by its first prompt."""

    def __init__(
        self,
        runner: Runner,
        loaded: LoadedAgent,
        name: str,
        expect: str,
        options: ChatOptions,
        agent_loader: AgentLoader = AgentLoader(),  # noqa: B008 - immutable
    ) -> None:
        """`expect` is "any", "new" or "existing"."""
        self.store = runner.store
        self._runner = runner
        self._dry_runner = DryRunner()
        self.loaded = loaded
        self.options = options
        self.agent_loader = agent_loader
        self.reply_format_override = ""
        self.switch_session(name, expect)

    @property
    def agent(self) -> Agent:
        """The agent that answers."""
        return self.loaded.agent

    @property
    def reply_format(self) -> str:
        """Format of replies ("text" or "markdown"): the person's choice, else the agent's."""
        return self.reply_format_override or self.agent.reply_format

    def switch_agent(self, loaded: LoadedAgent, name: str, expect: str) -> None:
        """Go on in the session `name` of another agent."""
        self.loaded = loaded
        self.switch_session(name, expect)

    def switch_session(self, name: str, expect: str) -> None:
        """Go on in the session `name` of the same agent."""
        self.name = name
        self._expect = expect
        self._shown_head = self.head()  # the session as it stands on the screen

    def begin_session(self, name: str) -> None:
        """Go on in a new session of the same agent; SessionExists if there is one called `name`."""
        if self.session_exists(self.agent.name, name):
            raise SessionExists(f"session '{name}' exists already", hint="go on with it: /resume NAME")
        self.switch_session(name, "new")

    def session_exists(self, agent: str, name: str) -> bool:
        """True if `agent` has a session called `name`."""
        return self.store.head(agent, name).uid != ABSENT

    def head(self) -> SessionHead:
        """The session as it stands now."""
        return self.store.head(self.agent.name, self.name)

    def data(self) -> str:
        """The session's data as it stands now, as JSON text."""
        head = self.head()
        return self.store.data_at(head, head.turn)

    # Turns

    def run_turn(self, prompt: str, listener: Listener, cancellation: Cancellation) -> Turn:
        """Answer `prompt`; see turns.runner.Runner. From the first on, the session must be the same one."""
        self._current_head()
        ask = TurnRequest(
            self.agent.name,
            self.name,
            prompt,
            uid=self._shown_head.uid,
            expect=self._expect,
            wait=self.options.wait,
        )
        turn = self._runner.run(
            self.agent, ask, listener, cancellation=cancellation, timeout=self.options.timeout
        )
        self._shown_head = self._shown_head._replace(version=turn.version)
        return turn

    def dry_run(
        self,
        prompt: str,
        on_piece: OnPiece,
        on_stuck: Callable[[DryRunResult], None],
        cancellation: Cancellation,
    ) -> DryRunResult:
        """Have the agent answer `prompt` without storing anything."""
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
        """Take back the last `count` turns; raises as timeline.undo."""
        return self._move_turns(timeline.undo_turns, count, pause)

    def redo(self, count: int, pause: Pause) -> TimelineMove:
        """Bring back what was undone; raises as timeline.redo."""
        return self._move_turns(timeline.redo_turns, count, pause)

    def rewind(self, turn: int, pause: Pause) -> tuple[TimelineMove, str]:
        """Go to `turn`; the prompt that came after it, "" for none. Raises as timeline.rewind."""
        head = self._unchanged_head()
        moved = self._remember_move(
            timeline.rewind_to_turn(self.store, head, turn, wait=self.options.wait, pause=pause)
        )
        tip = self.store.redo_head(moved.after)
        later = self.store.entries(tip, turn + 1, tip.turn)
        return moved, next((entry.prompt for entry in later if entry.kind == "prompt"), "")

    def rewind_before_last_prompt(self, pause: Pause) -> tuple[TimelineMove | None, str]:
        """Go to before the last prompt, if it was answered; that prompt. NothingToMove if there is none.

        SessionBusy if it is being answered.
        """
        head = self._unchanged_head()
        last = next((entry for entry in self._backwards(head) if entry.kind == "prompt"), None)
        if last is None:
            raise NothingToMove("there is no prompt to send again")
        if last.outcome == "running":
            raise _still_running_error(last)
        if last.outcome != "completed":
            return None, last.prompt
        moved = timeline.rewind_to_turn(self.store, head, last.turn - 1, wait=self.options.wait, pause=pause)
        return self._remember_move(moved), last.prompt

    def discard(self, pause: Pause) -> Entry:
        """Take the interrupted prompt off the timeline; that prompt. NothingToMove if there is none."""
        head = self._unchanged_head()
        lost = next(self._backwards(head), None)
        if lost is None or lost.outcome != "interrupted":
            raise NothingToMove("there is no interrupted prompt to discard")
        # Settles what a crash left, and goes back to before it.
        self._shown_head = self.store.move_head(head, lost.turn - 1, wait=self.options.wait, pause=pause)
        return lost

    def _backwards(self, head: SessionHead) -> Iterator[Entry]:
        """The entries up to now, newest first, with the prompt that is not settled."""
        yield from self.unsettled_prompts()
        yield from timeline.entries_backwards(self.store, head)

    def rename(self, name: str, pause: Pause) -> str:
        """Give the session another name; the one that it had. Raises as Store.rename."""
        before = self.name
        if self._current_head().uid == ABSENT:  # then it only has a name so far
            self.begin_session(name)
            return before
        head = self._existing_head()
        origin = self.store.origin(head)
        if origin and origin.is_undone_fork:
            raise UsageError(
                f"session '{head.name}' was kept of '{origin.name}', and is named after it",
                hint="make it one of your own: /fork NAME",
            )
        self.store.rename(head, name, wait=self.options.wait, pause=pause)
        self.name, self._expect = name, "existing"
        self._shown_head = self._shown_head._replace(name=name)
        return before

    def fork(self, name: str, turn: int | None) -> SessionHead:
        """Go on in a copy of the session, as it is or as of `turn`; raises as Store.fork."""
        head = self._existing_head()
        made = self.store.fork(head if turn is None else self.store.head_at(head, turn), name)
        self.switch_session(name, "existing")
        return made

    def set_data(self, path: str, value: str, pause: Pause) -> str:
        """Put the JSON `value` into the data at `path`; what to say of it. Raises as data_edits.set_value."""
        return self._remember_edit(
            data_edits.set_value(
                self.store, self._existing_head(), path, value, self._make_wait_options(pause)
            )
        )

    def unset_data(self, path: str, pause: Pause) -> str:
        """Take what is at `path` out of the data; the same. Raises as data_edits.unset_value."""
        return self._remember_edit(
            data_edits.unset_value(self.store, self._existing_head(), path, self._make_wait_options(pause))
        )

    def edit_data(self, show_notice: Callable[[str], None], pause: Pause) -> str:
        """Have the data edited; the same. Raises as data_edits.edit_as_text."""
        import shlex

        again = shlex.join(
            ["flue", "sessions", "set", f"{self.agent.name}/{self.name}", "", *self.options.repeat_flags]
        )
        drafts = DraftFolder(self.options.drafts_folder, again, show_notice)
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
        """The session as it stands, which must be as we saw it: only that may be taken back."""
        head = self._existing_head()
        check_unchanged(self._shown_head, head)
        return head

    def _existing_head(self) -> SessionHead:
        """The session as it stands now, which must be the one that we saw, and not empty."""
        head = self._current_head()
        if head.uid == ABSENT:
            raise NothingToMove("nothing has been said yet")
        return head

    def _current_head(self) -> SessionHead:
        """The session as it stands now, or is yet to be made; SessionChanged if it was ours and is gone."""
        head = self.head()
        if self._shown_head.uid not in (ABSENT, head.uid):
            gone = session_changed_error(self.name).message
            raise SessionChanged(gone, hint="/new begins another, /sessions shows which there are")
        return head

    def _move_turns(self, move: Callable[..., TimelineMove], count: int, pause: Pause) -> TimelineMove:
        return self._remember_move(
            move(self.store, self._unchanged_head(), count, wait=self.options.wait, pause=pause)
        )

    def _remember_move(self, moved: TimelineMove) -> TimelineMove:
        self._shown_head = moved.after
        return moved

    # What others did

    def missed_changes(self) -> MissedChanges:
        """Give the changes others made to the session since it was last shown, and mark them seen."""
        head = self.head()
        if self._shown_head.uid not in (ABSENT, head.uid):
            return MissedChanges()
        missed = find_missed_changes(self.store, self._shown_head, head)
        self._shown_head = head
        return missed

    def missed_changes_before(self, begun: BegunTurn) -> MissedChanges:
        """Give the changes between the state last shown and the beginning turn, and mark them seen.

        But for a prompt that was interrupted: that is said on its own.
        """
        lease = begun.lease
        missed = find_missed_changes(self.store, self._shown_head, lease.head)
        self._shown_head = lease.head._replace(turn=lease.turn, branch=lease.branch or lease.head.branch)
        self._expect = "existing"
        interrupted = begun.interrupted.turn if begun.interrupted else 0
        return missed._replace(turns=[entry for entry in missed.turns if entry.turn != interrupted])

    def unsettled_prompts(self) -> list[Entry]:
        """The prompt that is being answered elsewhere, or that a crash left, if there is one."""
        running = self.store.unsettled_prompt(self.head())
        return [running] if running else []

    def mark_seen(self) -> SessionHead:
        """The session as it stands now; all of it counts as seen."""
        self._shown_head = self.head()
        return self._shown_head

    def resume_command(self) -> str:
        """The command that resumes the session, quoted for a shell; "" if nothing was saved."""
        if not self.options.is_saved or self.head().uid == ABSENT:
            return ""
        import shlex

        return shlex.join(["flue", "chat", self.agent.name, "-r", self.name, *self.options.repeat_flags])

    def close(self) -> None:
        """End the watchdog of dry runs."""
        self._dry_runner.close()


def _still_running_error(entry: Entry) -> SessionBusy:
    return SessionBusy(f"turn {entry.turn} is being answered in another process", hint="wait for its reply")
