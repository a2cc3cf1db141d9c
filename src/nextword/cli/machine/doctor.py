"""`nextword doctor`: what this machine has, what it lacks, and what slows it down."""

import importlib
import importlib.metadata
import importlib.util
import itertools
import os
import platform
import re
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from nextword import __version__
from nextword.cli.shared.command import command, echo_json, json_option

# package: oldest version that Nextword is made for
REQUIRED = {
    "torch": "2.9",
    "numpy": "1.26",
    "tokenizers": "0.21",
    "safetensors": "0.5",
    "jinja2": "3.1.6",
    "rich": "13.7",
    "click": "8.1.7",
    "filelock": "3.13",
    "starlette": "0.46",
    "uvicorn": "0.34",
}

# package: (extra that installs it, what cannot be done without it)
OPTIONAL = {
    "pyarrow": ("parquet", "Parquet files can't be read"),
    "tensorboard": ("tensorboard", "curves can't be written for TensorBoard"),
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the report."""

    topic: str
    name: str
    value: Any  # for programs
    text: str  # for people


@dataclass
class Report:
    """All that was found."""

    entries: list[Entry] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # Nextword cannot work like this
    advice: list[str] = field(default_factory=list)  # it would work better

    def add(self, topic: str, name: str, value: Any, text: str | None = None) -> None:
        """Add a line; its text is its value unless given."""
        text = str(value) if text is None else text
        self.entries.append(Entry(topic=topic, name=name, value=value, text=text))


@command(
    "doctor",
    example="""
    nextword doctor --json > machine.json
    nextword doctor models/mine
    nextword doctor models/mine --accept-changes
    """,
)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), required=False)
@click.option(
    "--accept-changes",
    is_flag=True,
    help="Write the checksums of FOLDER anew for its files as they are now.",
)
@json_option
def doctor(folder: Path | None, accept_changes: bool, as_json: bool) -> None:
    """Check this machine, or the model in FOLDER against its checksums.

    Of the machine: versions, processor, memory, devices and their speed. Says what is missing, what
    each missing package costs, and what slows training down. The exit code is 1 if Nextword cannot
    work here, else 0.

    Of a model: which files differ from its SHA256SUMS. The exit code is 1 if one does, else 0. With
    --accept-changes they count as they are from now on: give it after you changed them on purpose.
    """
    if folder is not None:
        from nextword.cli.machine.doctor_folder import check_model

        sys.exit(check_model(folder, accept=accept_changes, as_json=as_json))
    if accept_changes:
        raise click.UsageError("--accept-changes needs FOLDER, the model whose files changed.")
    with warnings.catch_warnings(action="ignore"):  # the report says it better
        report = examine()
    if as_json:
        echo_json(as_mapping(report))
    else:
        show(report)
    sys.exit(1 if report.broken else 0)


def examine() -> Report:
    """Look at everything; what fails while being looked at is broken."""
    report = Report()
    _check_packages(report)
    try:
        _check_machine(report)
    except Exception as error:  # whatever torch, a driver or the system throws
        report.broken.append(f"the machine could not be examined: {_told(error)}")
    _check_disk(report)
    return report


def as_mapping(report: Report) -> dict[str, Any]:
    """The report for programs."""
    facts: dict[str, dict[str, Any]] = {}
    for entry in report.entries:
        facts.setdefault(entry.topic.lower(), {})[entry.name] = entry.value
    return {
        "usable": not report.broken,
        "broken": report.broken,
        "advice": report.advice,
        "facts": facts,
    }


def _check_packages(report: Report) -> None:
    report.add("Software", "nextword", __version__)
    report.add("Software", "python", platform.python_version())
    report.add("Software", "system", platform.platform(terse=True))
    for package, oldest in REQUIRED.items():
        try:
            importlib.import_module(package)
            version = importlib.metadata.version(package)
        except Exception as error:  # a broken library may throw anything while it loads
            report.add("Software", package, None, "broken or missing")
            report.broken.append(f"{package} does not load: {_told(error)}")
            continue
        report.add("Software", package, version)
        if numbers(version) < numbers(oldest):
            report.advice.append(
                f"{package} {version} is old, Nextword needs {oldest}; pip install -U {package}"
            )
    for package, (extra, cost) in OPTIONAL.items():
        if importlib.util.find_spec(package) is None:
            report.add("Software", package, None, "missing")
            report.advice.append(f"{package} is missing: {cost}; pip install 'nextword[{extra}]'")
        else:
            report.add("Software", package, importlib.metadata.version(package))


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, to compare: `2.13.0+cpu` is `(2, 13, 0)`."""
    found = re.match(r"[\d.]*\d", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _check_machine(report: Report) -> None:
    import torch

    from nextword import hardware
    from nextword.kernels import fused_blocks, quantized_matmul

    for fact in hardware.facts():
        report.add(fact.topic, fact.name, fact.value, fact.text)
    tried = [
        "float32",
        *(["bfloat16"] if hardware.has_bfloat16(hardware.pick_device("auto")) else []),
    ]
    tried += ["int8"] if fused_blocks.exist() and hardware.pick_device("auto").type == "cpu" else []
    told = f"{', '.join(tried)}: the fastest in measured steps of each model, before it trains"
    report.add("Devices", "precision auto", tried, told)
    if quantized_matmul.is_fast():
        for bits in (16, 8):
            peak = quantized_matmul.peak(torch.get_num_threads(), bits)
            told = f"{peak / 1e9:,.0f} GOP/s, measured matrix peak, in training"
            report.add("Devices", f"cpu int{bits}", peak, told)
    report.advice += [*_processor_advice(), *_core_advice(), *_device_advice()]


def _processor_advice() -> Iterator[str]:
    from nextword import hardware
    from nextword.kernels.build import cc_problem, find_compiler

    native = "give the virtual machine the host's processor type"
    if hardware.is_translated():
        yield "Python runs under Rosetta emulation, several times slower; install an arm64 Python"
    if "qemu" in hardware.processor_name().lower():
        yield f"QEMU emulates or masks the processor; {native}"
    if platform.machine().lower() in ("x86_64", "amd64") and "avx2" not in hardware.features():
        yield f"the processor shows no AVX2, training is many times slower; {native}"
    if (problem := cc_problem()) is not None:
        yield f"{problem}; mend or unset it: without a C compiler training on the CPU is slower"
    elif find_compiler() is None:
        yield "there is no C compiler (cc, gcc or clang): training on the processor is slower"
    memory = hardware.memory_bytes()
    if memory is not None and memory < 2 * 2**30:
        yield f"{memory / 2**30:.1f} GiB of memory: only small models can be trained"


def _core_advice() -> Iterator[str]:
    import torch

    from nextword import hardware

    cores, threads = hardware.cores(), torch.get_num_threads()
    if threads != cores:
        limit = os.environ.get("OMP_NUM_THREADS")
        mend = f"OMP_NUM_THREADS={limit} is set; unset it" if limit else "give --threads"
        yield f"torch uses {threads} of {cores} cores by itself, which is slow: {mend}"
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > cores + 0.5:
        yield f"other programs keep the {cores} cores busy (load {load:.1f}): speeds are low now"


def _device_advice() -> Iterator[str]:
    from nextword import hardware

    best = hardware.pick_device("auto")
    if best.type != "cuda" and shutil.which("nvidia-smi") is not None:
        yield "there is an NVIDIA driver but torch sees no GPU; see pytorch.org/get-started"


def _check_disk(report: Report) -> None:
    free = shutil.disk_usage(Path.cwd()).free
    report.add("Disk", "free", free, f"{free / 2**30:.1f} GiB here")
    if free < 2**30:
        report.advice.append("less than 1 GiB is free here: a training run may fill the disk")


def _told(error: Exception) -> str:
    """An error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def show(report: Report) -> None:
    """Print the report for people; without rich, which may be what is broken."""
    width = min(100, shutil.get_terminal_size().columns)
    names = max(len(entry.name) for entry in report.entries)
    for topic, entries in itertools.groupby(report.entries, key=lambda entry: entry.topic):
        click.secho(topic, bold=True)
        for entry in entries:
            _write(f"  {entry.name:<{names}}  ", entry.text, width=width)
        click.echo()
    _list("Worth mending", report.advice, colour="yellow", width=width)
    _list("Broken", report.broken, colour="red", width=width)
    verdict = "Nextword cannot work here yet." if report.broken else "Nextword works here."
    click.secho(verdict, bold=True)


def _list(title: str, lines: Sequence[str], *, colour: str, width: int) -> None:
    if lines:
        click.secho(title, bold=True, fg=colour)
        for line in lines:
            _write("  - ", line, width=width)
        click.echo()


def _write(start: str, text: str, *, width: int) -> None:
    """Print `start` and `text`, whose further lines stand below its first."""
    click.echo(
        textwrap.fill(
            text,
            width=max(width, len(start) + 20),
            initial_indent=start,
            subsequent_indent=" " * len(start),
            break_on_hyphens=False,
        )
    )
