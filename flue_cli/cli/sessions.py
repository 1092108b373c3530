"""`flue sessions`: conversations as things to list, show, go back to, export and delete."""

COMMANDS: dict[str, object] = {}
