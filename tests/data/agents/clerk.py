"""An agent that counts, keeps the newest prompts, records calls, and fails or hangs on demand."""

import time


def agent(prompt, session, context):
    if prompt == "fail":
        raise RuntimeError("the clerk broke \x1b[31m")
    if prompt == "hang":
        yield "begun\n"
        time.sleep(600)
    data = session.data
    data.setdefault("about", "a clerk that counts what it is told and remembers the newest of it; " * 3)
    data["count"] = data.get("count", 0) + 1
    data["newest"] = [*data.get("newest", []), prompt[:40]][-3:]
    if prompt.startswith("record"):
        data["noted"] = context.record("lookup", lambda: {"asked": prompt, "answer": 42})
        try:
            context.record("broken", lambda: 1 / 0)
        except ZeroDivisionError:
            data["broken"] = True
    yield f"{data['count']}: {prompt}"
