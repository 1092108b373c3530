"""The completion menu: open as soon as `/` is typed, and as wide as the screen."""

from __future__ import annotations

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, get_common_complete_suffix
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout.containers import WindowRenderInfo
from prompt_toolkit.layout.dimension import Dimension
from prompt_toolkit.layout.margins import ScrollbarMargin
from prompt_toolkit.layout.menus import CompletionsMenuControl

from flue_cli.repl.slash.command_context import is_command


def is_typing_command() -> bool:
    """True while the name of a command is typed: then the menu opens by itself."""
    document = get_app().current_buffer.document
    typed = document.text_before_cursor
    return document.is_cursor_at_the_end and is_command(typed) and not any(map(str.isspace, typed))


def menu_key_bindings() -> KeyBindings:
    """Make the key bindings for the name of a command: Tab completes it, then walks the menu."""
    bindings = KeyBindings()

    @bindings.add("tab", filter=Condition(is_typing_command))
    def complete(event: KeyPressEvent) -> None:
        # Not prompt_toolkit's own: that ignores a Tab which comes before the menu has opened.
        buffer = event.current_buffer
        state = buffer.complete_state
        candidates = [*buffer.completer.get_completions(buffer.document, CompleteEvent())]
        rest = get_common_complete_suffix(buffer.document, candidates)
        if rest and not (state and state.current_completion):
            buffer.insert_text(rest)
        elif state:
            buffer.complete_next()
        else:
            buffer.start_completion(select_first=True)

    return bindings


def widen_menu(session: PromptSession[str]) -> None:
    """Make the completion menu of `session` as wide as the screen."""
    for window in session.layout.find_all_windows():
        if isinstance(window.content, CompletionsMenuControl):
            window.width = _screen_width
            window.right_margins = [_Scrollbar()]


def _screen_width() -> Dimension:
    return Dimension.exact(get_app().output.get_size().columns)


class _Scrollbar(ScrollbarMargin):
    """A scroll bar that is there only if there is something to scroll."""

    def create_margin(
        self, window_render_info: WindowRenderInfo, width: int, height: int
    ) -> StyleAndTextTuples:
        if window_render_info.content_height <= window_render_info.window_height:
            return []
        return super().create_margin(window_render_info, width, height)
