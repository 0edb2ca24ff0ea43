"""``python -m rnnic`` is the command ``rnnic``."""

from rnnic.cli import main

if __name__ == "__main__":
    main()
