"""The program `foldwork`: loads the command line and runs it. Loading takes a moment; Ctrl-C ends it as quietly then as later."""

import sys

INTERRUPTED = 130


def main() -> None:
    try:
        from infra import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
