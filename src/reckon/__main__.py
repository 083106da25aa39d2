"""`reckon` and `python -m reckon`: signals are taken first, then the command line is imported."""

import sys

from reckon.stopping import WORDS, listen, stopped_by


def main() -> None:
    """Run the command line; the console script `reckon`."""
    listen()
    try:
        from reckon.cli import main

        main()
    except KeyboardInterrupt:  # before or after the command, which says more
        print(f"reckon: {WORDS[stopped_by()]}.", file=sys.stderr)
        sys.exit(128 + stopped_by())


if __name__ == "__main__":
    main()
