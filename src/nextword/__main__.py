"""`python -m nextword` is the command `nextword`."""

import sys

from nextword.common.interrupts import end_at_once_on_signals, raise_on_signals


def main() -> None:
    """Run the command; a signal ends it in one line even while its modules are being loaded."""
    with raise_on_signals() as interrupts:
        try:
            from nextword.cli.main import main as command

            command(prog_name="nextword")
        except BaseException as error:
            end_at_once_on_signals()
            interrupted = interrupts.explain(error)
            if interrupted is None:
                raise
            print(f"nextword: {interrupted}", file=sys.stderr)
            sys.exit(interrupted.exit_code)


if __name__ == "__main__":
    main()
