"""`python -m reckon` is `reckon`."""

from reckon.cli import main

if __name__ == "__main__":
    main()
