r"""Conversation scripts: what is said to an agent, and what it must answer, as plain text.

    # A line that begins with '#' is a comment; empty lines count for nothing.
    agent: task-planner
    session: work

    > add Buy groceries
      Added task: "Buy groceries". You now have 1 tasks.
    data: {"tasks": ["Buy groceries"]}

    > list tasks
    matches: Your tasks:\n1\. .*

A script (`NAME.flue`, UTF-8) begins with fields of its own, one a line: `agent` (needed), `session` (the
session's name; "test" unless said), `now` and `seed` (the first turn's, see below). Then come its steps.

A step begins with what is said: lines behind '>', which are one prompt as long as they follow each other
('>' alone is an empty line of it). Below it stands what is expected; a turn of which nothing is expected
must only complete:

    (two spaces)    the reply, exactly: every line indented by two spaces, empty lines as they are
    matches:        a regular expression that the whole reply must match (`re.fullmatch`)
    data:           the session's data after the turn, exactly: a JSON object, compared by values; or the
                    word `unchanged`
    data includes:  a part of the data: objects may have more keys, also those inside; lists are whole
    fails:          the turn must fail, with an error of this type (`exception`, `bad_reply`, …; or of any)

and what it starts from, where that matters:

    now:    this turn's clock, ISO 8601 (UTC unless it says otherwise)
    seed:   this turn's random seed, a whole number
    turn:   this turn's number
    call:   the JSON record of a call by `context.record`, {"name": "weather", "result": 21}: answered from
            here instead of being made. With one or more of them no other call of the turn is made either.

Nothing is left to chance: a turn's clock is one second after that of the turn before, the first one's is
2026-01-01T00:00:00Z; the first turn's seed is 1, the next one's 2. A `now:` or `turn:` moves the turns
after it too.

What plain text cannot hold (control characters, blanks at the end of a line, a line end at the very end) is
written as JSON: `prompt: "…"` begins a step as '>' does, `reply: "…"` is a reply; lines of either kind that
follow each other are one text, joined without anything between them. `session:` may be a JSON string too.

    edit: {"tasks": []}

is a step without a turn: the data becomes this. It takes a turn's number, as edits do on a timeline.
"""
