"""``python tests/demo.py IMAGE [ERROR_THRESHOLD]``: the same as ``rnnic demo``."""

import sys

from rnnic.cli import command_line

if __name__ == "__main__":
    command_line(["demo", *sys.argv[1:]], prog_name="rnnic")
