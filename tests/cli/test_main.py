"""The command `nextword` itself: its help, its errors, its exit codes."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from nextword import __version__
from nextword.cli import main as module
from nextword.cli.main import COMMANDS, main
from nextword.cli.shared.command import command, echo_json, folder_argument, json_option
from nextword.cli.shared.streams import open_missing_streams
from nextword.common.interrupts import Interrupted
from nextword.errors import DataError


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes `nextword doctor` raise an exception."""

    def install(error: BaseException) -> None:
        @command("doctor", example="nextword doctor")
        @click.option("--steps", type=int)
        def raising(steps: int | None) -> None:
            """Raise."""
            raise error

        monkeypatch.setattr(module.Main, "get_command", lambda *_: raising)

    return install


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_help_lists_every_command_and_an_example() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name, (_, what) in COMMANDS.items():
        assert f"  {name}" in result.stdout
        assert what in result.stdout
    assert result.stdout.endswith('nextword reply models/mine "where is the cat?"\n')
    assert run().stdout == run("-h").stdout == result.stdout


def test_help_loads_neither_torch_nor_a_command() -> None:
    code = (
        "import sys\n"
        "from nextword.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'rich', 'tokenizers', 'nextword.cli.machine.doctor'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    ran = python(code)
    assert ran.stdout.endswith("loaded: []\n"), ran.stdout
    assert ran.stderr == ""


def test_python_m_nextword_is_the_same_command() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "nextword", "--version"], capture_output=True, text=True, check=True
    )
    assert ran.stdout == f"nextword {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "unknown command 'trian'; allowed are: train, look, reply, teach, lessons,"),
        (["trian"], "Did you mean 'train'? See: nextword --help"),
        (["--debgu"], "--debug"),
        (["doctor", "--jsno"], "--json"),
        (["doctor", "--jsno"], "See: nextword doctor --help"),
    ],
)
def test_a_slip_of_the_keyboard_gets_the_nearest_match(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr
    assert result.stderr.startswith("nextword: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DataError("two words"), 1, "nextword: two words\n"),
        (DataError("a \x1b[31mred\x07 file"), 1, "nextword: a ␛[31mred␇ file\n"),
        (
            PermissionError(13, "Permission denied", "x.txt"),
            1,
            "nextword: x.txt: Permission denied\n",
        ),
        (OSError(28, "No space left on device"), 1, "nextword: No space left on device\n"),
        (
            MemoryError(),
            1,
            "nextword: out of memory; a smaller batch, context or model needs less\n",
        ),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            1,
            "nextword: No module named 'torch'; see what is missing with: nextword doctor\n",
        ),
        (
            UnicodeDecodeError("utf-8", b"a\xff", 1, 2, "invalid start byte"),
            1,
            "nextword: standard input is not UTF-8 (byte 0xFF at 1); convert it, for example with "
            "iconv -t utf-8\n",
        ),
        (
            ZeroDivisionError("by\nzero"),
            70,
            "nextword: this is a bug in Nextword (ZeroDivisionError: by zero);"
            " --debug shows the traceback\n",
        ),
        (click.exceptions.Exit(3), 3, ""),
        (SystemExit(5), 5, ""),
    ],
)
def test_an_error_takes_one_line(
    broken: Callable[[BaseException], None], error: BaseException, code: int, message: str
) -> None:
    broken(error)
    result = run("doctor")
    assert (result.exit_code, result.stderr, result.stdout) == (code, message, "")


@pytest.mark.parametrize("arguments", [["--debug", "doctor"], ["doctor", "--debug"]])
def test_debug_shows_the_traceback(
    broken: Callable[[BaseException], None], arguments: list[str]
) -> None:
    broken(DataError("two words"))
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert "DataError: two words\n" in result.stderr
    assert result.stderr.endswith("\nnextword: two words\n")


def test_debug_works_where_the_commands_module_does_not_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(COMMANDS, "doctor", ("nextword.cli.absent:absent", "Nothing."))
    assert "Traceback" not in run("doctor").stderr
    assert run("doctor").exit_code == 70
    assert "Traceback" in run("doctor", "--debug").stderr


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "nextword: stopped by Ctrl-C\n"),
        (Interrupted(signal.SIGINT), 130, "nextword: stopped by Ctrl-C\n"),
        (Interrupted(signal.SIGTERM), 143, "nextword: stopped by SIGTERM\n"),
    ],
)
def test_a_signal_ends_a_command_in_one_line(
    broken: Callable[[BaseException], None], error: BaseException, code: int, line: str
) -> None:
    broken(error)
    result = run("doctor")
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", line)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("place", ["import", "command", "swallowed by an import"])
def test_a_signal_ends_the_process_while_modules_are_loaded(
    tmp_path: Path, number: signal.Signals, code: int, place: str
) -> None:
    strike = f"import os; os.kill(os.getpid(), {int(number)})\nfor _ in range(10**9): pass"
    if place == "swallowed by an import":
        strike = textwrap.indent(strike, " ")
        strike = f"try:\n{strike}\nexcept BaseException: raise ImportError('broken off') from None"
    module = "click" if place == "import" else "torch"
    (tmp_path / f"{module}.py").write_text(strike)
    ran = subprocess.run(
        [sys.executable, "-m", "nextword", "train", "nextword:dialogues", "--out", "out"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
    )
    name = {130: "Ctrl-C", 143: "SIGTERM"}[code]
    assert (ran.returncode, ran.stdout, ran.stderr) == (code, "", f"nextword: stopped by {name}\n")


@pytest.mark.parametrize(
    ("closing", "code", "stdout", "stderr"),
    [
        (">&-", 1, "", "nextword: standard output is closed, so nothing can be printed; send it"),
        ("<&-", 0, f"nextword {__version__}\n", ""),
        ("2>&-", 0, f"nextword {__version__}\n", ""),
        ("<&- >&- 2>&-", 1, "", ""),
    ],
)
def test_closed_streams_are_told_or_do_not_matter(
    closing: str, code: int, stdout: str, stderr: str
) -> None:
    ran = subprocess.run(
        ["sh", "-c", f'"$0" -m nextword --version {closing}', sys.executable],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert (ran.returncode, ran.stdout) == (code, stdout)
    assert ran.stderr.startswith(stderr)
    assert ran.stderr.count("\n") == bool(stderr)


def test_a_closed_input_reads_as_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    open_missing_streams()
    assert sys.stdin is not None
    assert (sys.stdin.isatty(), sys.stdin.read()) == (False, "")


def test_a_closed_pipe_ends_quietly() -> None:
    code = (
        "import click, sys\n"
        "from nextword.cli import main as module\n"
        "@click.command('doctor')\n"
        "def chatty():\n"
        "    while True: print('line ' * 100)\n"
        "module.Main.get_command = lambda *_: chatty\n"
        "module.main(['doctor'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=20) == 1


def test_text_that_the_terminal_cannot_encode_is_escaped() -> None:
    code = (
        "import click\n"
        "from nextword.cli import main as module\n"
        "@click.command('doctor')\n"
        "def odd(): print('cat \\udc80')\n"
        "module.Main.get_command = lambda *_: odd\n"
        "module.main(['doctor'])\n"
    )
    ran = python(code)
    assert (ran.returncode, ran.stderr, ran.stdout.strip()) == (0, "", "cat \\udc80")


def test_a_command_has_help_example_folder_and_json() -> None:
    @command("weigh", example="nextword weigh models/mine\nnextword weigh [models]  --json")
    @folder_argument
    @json_option
    def weigh(folder: Any, as_json: bool) -> None:
        """Weigh a model."""
        echo_json({"folder": folder, "json": as_json, "loss": float("nan"), "word": "猫"})

    result = CliRunner().invoke(weigh, ["models/mine", "--json"])
    assert result.stdout == (
        '{\n  "folder": "models/mine",\n  "json": true,\n  "loss": null,\n  "word": "猫"\n}\n'
    )
    text = CliRunner().invoke(weigh, ["--help"]).stdout
    assert "Weigh a model." in text
    assert "Examples:\n  nextword weigh models/mine\n  nextword weigh [models]  --json\n" in text
    assert text.index("--json ") < text.index("--debug") < text.index("Examples:")
