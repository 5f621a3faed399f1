"""The program `foldwork`: loads the command line and runs it. Loading takes a moment; Ctrl-C ends it as quietly then as later."""

import os
import sys

INTERRUPTED = 130


def main() -> None:
    _open_what_is_closed()
    try:
        from infra import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _open_what_is_closed() -> None:
    """Of standard input, output and error, in order: what is opened next has the lowest number, and would be taken for the closed one."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
