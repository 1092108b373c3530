"""The chat in the terminal. The only package that imports prompt_toolkit; `loop.chat` is its entry."""
