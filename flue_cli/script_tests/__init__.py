r"""Conversation scripts: prompts to an agent and the expected replies, as plain text.

    # A line that begins with '#' is a comment; empty lines are ignored.
    agent: task-planner
    session: work

    > add Buy groceries
      Added task: "Buy groceries". You now have 1 tasks.
    data: {"tasks": ["Buy groceries"]}

    > list tasks
    matches: Your tasks:\n1\. .*

A script (`NAME.flue`, UTF-8) begins with a header of fields, one a line: `agent` (required), `session` (the
session's name; default "test"), `now` and `seed` (of the first turn, see below). Then come its steps.

A step begins with a prompt: lines that begin with '>'. Successive ones are one prompt ('>' alone is an empty
line of it). Below it stand the expectations; a turn without any must only complete:

    (two spaces)    the reply, exactly: every line indented by two spaces, empty lines as they are
    matches:        a regular expression that the whole reply must match (`re.fullmatch`)
    data:           the session's data after the turn, exactly: a JSON object, compared by values; or the
                    word `unchanged`
    data includes:  a part of the data: objects may have more keys, also nested ones; lists must be equal
    fails:          the turn must fail, with an error of this type (`exception`, `bad_reply`, …); without a
                    value, of any type

and the input of the turn, where that matters:

    now:    this turn's clock, ISO 8601 (UTC unless an offset is given)
    seed:   this turn's random seed, a whole number
    turn:   this turn's number
    call:   the JSON record of a call by `context.record`, {"name": "weather", "result": 21}: the call returns
            this and is not made. With at least one record, other calls of the turn are not made either.

Scripts are deterministic: the first turn's clock is 2026-01-01T00:00:00Z, and each later one is a second
ahead. The first turn's seed is 1, the next one's 2. A `now:` or `turn:` also applies to the turns after it,
which count on from there.

Text that plain lines cannot hold (control characters, blanks at the end of a line, a line end at the end) is
written as JSON: `prompt: "…"` begins a step as '>' does, `reply: "…"` is a reply. Successive lines of one
kind are one text, joined without a separator. `session:` may be a JSON string too.

    edit: {"tasks": []}

is a step without a turn: it replaces the data. It takes a turn's number, as edits do on a timeline.
"""
