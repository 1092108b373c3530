"""Flue: a terminal host for stateful agents. What an agent author imports, and no more.

Names are loaded when first used (PEP 562), so that `flue --version` imports nothing.
"""

TYPE_CHECKING = False  # type checkers know the name; importing it would import typing

__version__ = "0.1.0"
__all__ = ["AgentContext", "AgentSession", "History", "Message", "Reply", "__version__"]

if TYPE_CHECKING:
    from flue_cli.agents.api import AgentContext, AgentSession, History, Message, Reply


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'flue_cli' has no attribute {name!r}")
    from flue_cli.agents import api

    return getattr(api, name)
