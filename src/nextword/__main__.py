"""`python -m nextword` is the command `nextword`."""

from nextword.cli.main import main

if __name__ == "__main__":
    main(prog_name="nextword")
