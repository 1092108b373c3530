"""An agent whose reply has messages between, and meta."""

from flue_cli import Message, Reply


def agent(prompt, session, context):
    session.data["seen"] = len(session.history.last(1000))
    return Reply(
        f"said {prompt}",
        [Message("tool", {"found": [1, 2, {"ü": None}]}, {"name": "clock"})],
        {"tokens": 7, "model": "none"},
    )
