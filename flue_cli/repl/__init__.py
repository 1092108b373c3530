"""The chat in the terminal; `loop.run_chat` starts it. No other package imports prompt_toolkit."""
