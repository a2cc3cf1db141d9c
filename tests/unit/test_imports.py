"""The arrows between the rooms, read from the imports; and the few rules of every file.

    errors → common → validation → config → hardware, presets → kernels → tokenizer, model → data
           → interpret, formats, generate → evaluate → training → teach → ladder, language_model
           → api → serve → cli

A room may import those before it, never those after it, nor one on its own floor.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
FLOORS = (  # from the ground up; packages on one floor do not import each other
    ("errors",),
    ("common",),
    ("validation",),
    ("config",),
    ("hardware", "presets"),
    ("kernels",),
    ("tokenizer", "model"),
    ("data",),
    ("interpret", "formats", "generate"),
    ("evaluate",),
    ("training",),
    ("teach",),
    ("ladder", "language_model"),
    ("api",),
    ("serve",),
    ("cli",),
    ("__main__", "nextword"),  # the two doors: `python -m nextword` and `import nextword`
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# Packages that are imported inside a function, so that nobody waits for what they do not use.
LATE = {"pyarrow", "torch.utils.tensorboard", "tensorboard", "transformers"}
READY_FIRST = {"cli", "__main__"}  # they answer a mistake or a signal before they load the rest
# What must load without torch: it is on the way to `nextword --help`, or has no use for it.
QUICK_ROOMS = {
    "cli",
    "common",
    "config",
    "data",
    "errors",
    "nextword",
    "presets",
    "tokenizer",
    "validation",
}
QUICK_MODULES = {
    "nextword.training.request",
    "nextword.training.report.reporters",
    "nextword.teach.config",
}
# All that the model's room may import; no files, no JSON, no operating system.
MODEL_NEEDS = {
    "collections",
    "dataclasses",
    "functools",
    "hashlib",
    "math",
    "typing",
    "torch",
    "nextword",
}
LONGEST, LONG = 500, 300  # lines of a file: never more; better not more


@dataclass(frozen=True)
class Arrow:
    """One import of a module."""

    target: str
    line: int
    late: bool  # inside a function
    for_types: bool  # under `if TYPE_CHECKING`


@cache
def modules() -> dict[str, Path]:
    """Every module of the package, by its full name."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def arrows(module: str) -> tuple[Arrow, ...]:
    """All imports of a module; `from package import submodule` is one of the submodule."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    return tuple(_imports(tree, late=False, for_types=False))


def _imports(node: ast.AST, *, late: bool, for_types: bool) -> Iterator[Arrow]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Arrow(alias.name, child.lineno, late, for_types)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: imports are written out in full"
            for alias in child.names:
                full = f"{child.module}.{alias.name}"
                target = full if full in modules() else child.module or ""
                yield Arrow(target, child.lineno, late, for_types)
        else:
            typed = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, late=late or inside, for_types=for_types or typed)


def room(module: str) -> str:
    """Return the package (or top-level module) of a module: `nextword.data.corpus` is in data."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def runs_back(module: str, target: str) -> bool:
    """Whether an import goes up, or to another room on the same floor."""
    here, there = room(module), room(target)
    if here == there:
        return False
    if there == "nextword":  # the face itself: only for its version, see the next test
        return False
    return FLOOR[there] >= FLOOR[here]


def inner(module: str) -> Iterator[Arrow]:
    """The imports of a module that stay in the package."""
    return (a for a in arrows(module) if a.target.split(".")[0] == "nextword")


def test_every_room_has_its_floor() -> None:
    assert {room(module) for module in modules()} == set(FLOOR)


@pytest.mark.parametrize(
    ("module", "target", "back"),
    [
        ("nextword.training.pipeline", "nextword.model.decoder", False),
        ("nextword.training.plan.planner", "nextword.training.request", False),
        ("nextword.data.samples.splits", "nextword.evaluate.exact_replies", True),
        ("nextword.evaluate.scoring", "nextword.training.loop.trainer", True),
        ("nextword.evaluate.exact_replies", "nextword.teach.lesson", True),
        ("nextword.model.decoder", "nextword.training.pipeline", True),
        ("nextword.model.kv_cache", "nextword.tokenizer.tokenizer", True),
        ("nextword.interpret.trace", "nextword.generate.engine", True),
        ("nextword.interpret.trace", "nextword.interpret.points", False),
        ("nextword.config", "nextword.common.files", False),
        ("nextword.common.files", "nextword.config", True),
        ("nextword.cli.training.train", "nextword", False),
    ],
)
def test_the_direction_of_an_arrow(module: str, target: str, back: bool) -> None:
    assert runs_back(module, target) is back


def test_no_arrow_runs_back() -> None:
    back = [
        f"{module}:{arrow.line} imports {arrow.target}"
        for module in modules()
        for arrow in inner(module)
        if runs_back(module, arrow.target)
    ]
    assert back == []


def test_the_package_itself_is_imported_only_for_its_version() -> None:
    used = []
    for module, path in modules().items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "nextword":
                names = [item.name for item in node.names]
                used += [f"{module}: {n}" for n in names if f"nextword.{n}" not in modules()]
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "nextword":
                used.append(f"{module}: {node.attr}")
    assert [use for use in used if not use.endswith(": __version__")] == []


def test_no_modules_import_each_other_in_however_many_steps() -> None:
    graph = {m: {a.target for a in inner(m) if not (a.late or a.for_types)} for m in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_imports_inside_functions_are_of_heavy_optional_packages() -> None:
    late = [
        f"{module}:{arrow.line} imports {arrow.target}"
        for module in modules()
        for arrow in arrows(module)
        if arrow.late and room(module) not in READY_FIRST and arrow.target not in LATE
    ]
    assert late == []


def test_heavy_optional_packages_are_imported_nowhere_else() -> None:
    heads = {name.split(".")[0] for name in LATE} - {"torch"}
    early = [
        f"{module}:{arrow.line} imports {arrow.target}"
        for module in modules()
        for arrow in arrows(module)
        if not arrow.late and (arrow.target in LATE or arrow.target.split(".")[0] in heads)
    ]
    assert early == []


def test_the_model_reads_no_files_and_knows_nobody_above_it() -> None:
    for module in modules():
        if room(module) != "model":
            continue
        for arrow in arrows(module):
            assert arrow.target.split(".")[0] in MODEL_NEEDS, f"{module}: {arrow.target}"
            assert not arrow.target.startswith("torch.distributed"), module
        tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
        calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert not {"open", "print", "input", "torch.load", "torch.save"} & set(calls), module


def way_to_torch(module: str, seen: set[str]) -> list[str]:
    """Through which modules `module` loads torch as it is imported; empty if it does not."""
    seen.add(module)
    parts = module.split(".")
    packages = {".".join(parts[:end]) for end in range(1, len(parts))}
    loaded = {arrow.target for arrow in arrows(module) if not (arrow.late or arrow.for_types)}
    if any(target.split(".")[0] == "torch" for target in loaded):
        return [module, "torch"]
    for target in sorted((loaded | packages) & modules().keys() - seen):
        if way := way_to_torch(target, seen):
            return [module, *way]
    return []


def test_start_up_does_not_wait_for_torch() -> None:
    quick = {module for module in modules() if room(module) in QUICK_ROOMS} | QUICK_MODULES
    ways = [way_to_torch(module, set()) for module in sorted(quick)]
    assert [" → ".join(way) for way in ways if way] == []


def test_a_way_to_torch_is_found_through_several_modules() -> None:
    assert way_to_torch("nextword.api", set())[-1] == "torch"


def test_importing_nextword_and_asking_for_help_load_no_torch() -> None:
    code = (
        "import sys, nextword\n"
        "from nextword import ModelConfig, TrainingConfig, ReplyConfig, NextwordError, preset\n"
        "from nextword.cli.main import main\n"
        "names = 'train teach lessons look reply chat evaluate ladder doctor serve try'\n"
        "for name in names.split():\n"
        "    try: main([name, '--help'])\n"
        "    except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'pyarrow', 'starlette', 'uvicorn'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.stdout.endswith("loaded: []\n"), ran.stdout[-300:] + ran.stderr
    assert ran.stderr == ""


def our_files() -> list[Path]:
    """The files of the project, without what was made or installed."""
    folders = [ROOT / name for name in ("src", "tests", "docs", "benchmarks")]
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    top = [path for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".")]
    return [path for path in sorted(found + top) if "__pycache__" not in path.parts]


def test_no_file_is_longer_than_a_person_reads_in_one_sitting() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in our_files()
        if path.suffix == ".py"
    }
    long = {name: n for name, n in lengths.items() if n > LONG}
    assert not any(n > LONGEST for n in long.values()), f"over {LONG} lines: {long}"


# Written apart so that this file does not hold what it looks for.
LEFT_OVER = re.compile(r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b")
MACHINE_PATH = re.compile(r"(?<![\w.~/])/(?:" + "|".join(["work", "root", "home"]) + r")(?:/|\b)")


def test_the_patterns_find_what_they_look_for() -> None:
    for name in ("work", "root", "home"):
        assert MACHINE_PATH.search(f"see '/{name}/me'")
        assert not MACHINE_PATH.search(f"a frame{name}, ../{name}, a/{name}")
    assert LEFT_OVER.search("# TO" + "DO: later")


@pytest.mark.parametrize("pattern", [LEFT_OVER, MACHINE_PATH], ids=["left over", "machine path"])
def test_nothing_is_left_lying_about(pattern: re.Pattern[str]) -> None:
    found = []
    for path in our_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []
