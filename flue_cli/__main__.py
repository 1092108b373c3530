"""`python -m flue_cli` is `flue`."""

from flue_cli.cli import run

if __name__ == "__main__":
    run()
