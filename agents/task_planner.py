"""Keeps a list of tasks: "add Buy groceries", "list tasks"."""

from typing import TypedDict

from flue_cli import AgentContext, AgentSession

example_prompt = "add Buy groceries"


class PlannerData(TypedDict, total=False):
    tasks: list[str]


def agent(prompt: str, session: AgentSession[PlannerData], context: AgentContext) -> str:
    tasks = session.data.setdefault("tasks", [])
    wish = prompt.lower().strip()
    if wish.startswith("add "):
        task = prompt.strip()[len("add ") :].strip()
        tasks.append(task)
        return f'Added task: "{task}". You now have {len(tasks)} tasks.'
    if "list tasks" in wish:
        if not tasks:
            return "You currently have no tasks."
        return "Your tasks:\n" + "\n".join(f"{number}. {task}" for number, task in enumerate(tasks, 1))
    return "I can help you manage tasks. Try 'add [task]' or 'list tasks'."
