"""``python tests/kodak_test.py [FOLDER]``: the same as ``rnnic bench kodak [--folder FOLDER]``."""

import sys

from rnnic.cli import command_line

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments and not arguments[0].startswith("-"):
        arguments.insert(0, "--folder")
    command_line(["bench", "kodak", *arguments], prog_name="rnnic")
