"""What a person reads when they come to a session: where they are, what was said, what is to be known."""

from __future__ import annotations

from collections.abc import Sequence

from flue_cli.render.streams import Output
from flue_cli.repl.conversation import Conversation
from flue_cli.sessions.timeline import MissedChanges, backwards, last_turns
from flue_cli.stores.records import ABSENT, Entry, Head
from flue_cli.text import safe_line, turn_numbers, turns

_LOOK_BACK = 64
"""How many turns are looked at for the last one that tells by which source it was made."""

_PREVIEW = 40


def greet(conversation: Conversation, output: Output, recap_turns: int) -> None:
    """Say what there is to say of the agent, and open its session."""
    if conversation.loaded.remark:
        output.note(conversation.loaded.remark)
    open_session(conversation, output, recap_turns)


def open_session(conversation: Conversation, output: Output, recap_turns: int) -> None:
    """Say where we are, show the newest `recap_turns` turns, and say what became of things meanwhile.

    All of it counts as seen.
    """
    head = conversation.look()
    recap = last_turns(conversation.store, head, recap_turns)
    output.note(_where(conversation, head))
    _show(recap, conversation, output)
    for remark in (_changed_source(conversation, head), _interrupted(recap[-1] if recap else None)):
        if remark:
            output.note(remark)


def show_missed(missed: MissedChanges, conversation: Conversation, output: Output) -> None:
    """Show what somebody else did to the session meanwhile."""
    if missed.undone:
        which, verb = turn_numbers(missed.undone), "was" if len(missed.undone) == 1 else "were"
        output.note(f"meanwhile {which} {verb} undone in another process")
    if missed.turns:
        output.note("meanwhile in another process:")
        _show(missed.turns, conversation, output)


def _show(entries: Sequence[Entry], conversation: Conversation, output: Output) -> None:
    if entries:
        from flue_cli.render.tables import transcript

        output.rendered(transcript(entries, as_markdown=conversation.reply_format == "markdown"))


def _where(conversation: Conversation, head: Head) -> str:
    size = turns(head.turn) if head.uid != ABSENT else "new"
    kept = "" if conversation.manners.keeps else ", not kept"
    agent, name = safe_line(conversation.agent.name), safe_line(conversation.name)
    return f"{agent} · session {name} ({size}{kept}) · /help"


def _changed_source(conversation: Conversation, head: Head) -> str:
    """Whether the last turns were made by another state of the agent's file; "" if not, or unknown."""
    for number, entry in enumerate(backwards(conversation.store, head)):
        source = entry.meta.get("source")
        if source is not None:
            if source == conversation.agent.fingerprint:
                return ""
            file = conversation.loaded.file or conversation.agent.name
            return f"{safe_line(file)} has changed since turn {entry.turn}"
        if number >= _LOOK_BACK:
            break
    return ""


def _interrupted(lost: Entry | None) -> str:
    """What can be done about the newest prompt, if it was interrupted."""
    if lost is None or lost.outcome != "interrupted":
        return ""
    prompt = safe_line(lost.prompt)
    start = prompt if len(prompt) <= _PREVIEW else f"{prompt[: _PREVIEW - 1]}…"
    return (
        f"turn {lost.turn} was interrupted: {start}\n"
        "/retry sends it again, /edit brings it back into the line, /discard drops it"
    )
