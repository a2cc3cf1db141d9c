"""What this machine is and can do: devices, precision, cores, memory, speed of matrix products."""

import contextlib
import ctypes
import functools
import math
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch

from nextword.common.cpu_load import LoadMeter
from nextword.config import Precision
from nextword.errors import ConfigError, unknown

ROOT = Path("/")
SMALL_WORK = 12_000_000  # multiply-adds that one thread does about as fast as several
SHARED = 0.3  # of a core; a program that uses more of it counts as one that keeps it busy
_load = LoadMeter()
FEW_THREADS = 4  # that a product of 1024 × 1024 keeps busy

# Names that people know ← flags of Linux's /proc/cpuinfo (x86 and ARM) and of macOS's sysctl.
_FEATURES = {
    "avx2": {"avx2"},
    "avx512": {"avx512f"},
    "bf16": {"avx512_bf16", "bf16"},
    "amx": {"amx_bf16", "amx_tile"},
    "vnni": {"avx512_vnni", "avx_vnni", "asimddp"},
    "neon": {"asimd"},
    "sve": {"sve"},
}


@dataclass(frozen=True)
class Fact:
    """One thing known about the machine, for a program (`value`) and for a person (`text`)."""

    topic: str  # the heading it stands under
    name: str
    value: str | int | float | list[str] | None
    text: str


def devices() -> list[str]:
    """The devices that torch can use here, best first, e.g. `["cuda:0", "cpu"]`."""
    cuda = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*(f"cuda:{index}" for index in cuda), *mps, "cpu"]


def pick_device(name: str) -> torch.device:
    """The device called `name`; `"auto"` is the best one: cuda, then mps, then cpu.

    Raises:
        ConfigError: the name is unknown, or there is no such device here; says what there is.
    """
    there = devices()
    if name == "auto":
        return torch.device(there[0])
    if name in there:
        return torch.device(name)
    if name == "cuda" and "cuda:0" in there:
        return torch.device("cuda:0")
    if re.fullmatch(r"cuda(:\d+)?|mps", name):
        raise ConfigError(
            f"device {name!r} is not available here; available are: {', '.join(there)}. "
            "Give one of them, or 'auto'."
        )
    raise ConfigError(unknown("device", name, ["auto", *there]))


def has_fast_bfloat16(device: torch.device, *, root: Path = ROOT) -> bool:
    """Whether matrix products run faster in bfloat16 than in float32.

    Intel's do so with AMX only: measured, their older instruction gives less than float32, and a
    virtual machine may hide AMX (docs/lab-log.md). It is told from the processor and not measured
    each time, so that the same command always learns the same.

    Args:
        root: where `/proc` lies; tests give a folder.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere and later
    if device.type == "mps":
        chip = re.match(r"Apple M(\d+)", _sysctl("machdep.cpu.brand_string"))
        return chip is not None and int(chip[1]) >= 3 and has_bfloat16(device)
    # torch reaches the processor's bfloat16 units through oneDNN, which macOS builds lack.
    reached = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    units = {"amx"} if _cpu_info(root).get("vendor_id") == "GenuineIntel" else {"amx", "bf16"}
    return reached and not units.isdisjoint(features(root=root))


def pick_precision(name: Precision, device: torch.device) -> torch.dtype:
    """The dtype to compute in; `"auto"` is bfloat16 where it is fast, else float32.

    `"int16"` and `"int8"` are about products within kernels only; around them is float32.

    Raises:
        ConfigError: the name is unknown, or the device cannot compute in it at all.
    """
    if name in ("float32", "int16", "int8") or (name == "auto" and not has_fast_bfloat16(device)):
        return torch.float32
    if name not in ("auto", "bfloat16"):
        raise ConfigError(unknown("precision", name, get_args(Precision)))
    if not has_bfloat16(device):
        raise ConfigError(
            "precision 'bfloat16' on device 'mps' needs macOS 14 or later; "
            f"this is macOS {platform.mac_ver()[0]}. Give precision 'float32' or 'auto'."
        )
    return torch.bfloat16


def cores(*, root: Path = ROOT) -> int:
    """How many physical cores this process may use: affinity and container limits count.

    Two hardware threads of one core count once, because matrix products keep a core busy with one.

    Args:
        root: where `/proc` and `/sys` lie; tests give a folder.
    """
    if sys.platform == "darwin":
        return int(_sysctl("hw.physicalcpu") or os.cpu_count() or 1)
    if sys.platform == "win32":
        return os.cpu_count() or 1
    allowed = os.sched_getaffinity(0)
    return max(1, min(_physical(allowed, root), *_cpu_limits(root), len(allowed)))


@contextlib.contextmanager
def adaptive_threads(work: int | None = None) -> Iterator[Callable[..., None]]:
    """Let torch use as many threads as there are free cores, and afterwards as many as before.

    A thread that shares its core with another program holds up all others after every operation,
    and they spin meanwhile: that takes two to six times as long as a single thread on a free core.
    Not for what must give the same bits whatever the load: sums round by the number of threads.

    Args:
        work: multiply-adds of one forward pass; below `SMALL_WORK` one thread does it, since
            several gain nothing there. None: enough for several.

    Yields:
        A function that adapts the number to the work ahead and to the load of the moment; call it
        before each pass, it costs next to nothing.
    """
    most = torch.get_num_threads()

    def adapt(work: int | None = None) -> None:
        threads = 1
        if work is None or work >= SMALL_WORK:
            taken = math.floor(_load.busy_cores() + 1 - SHARED)
            threads = max(1, min(most, len(os.sched_getaffinity(0)) - taken))
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)

    if most == 1 or not hasattr(os, "sched_getaffinity"):
        yield lambda work: None
        return
    adapt(work)
    try:
        yield adapt
    finally:
        torch.set_num_threads(most)


def memory_bytes(*, root: Path = ROOT) -> int | None:
    """The memory this process may use, in bytes: installed, or the container's limit."""
    if sys.platform == "win32":
        installed = ctypes.c_ulonglong()  # KiB
        found = ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(installed))
        return installed.value * 1024 if found else None
    here = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([here, *_memory_limits(root)])


def features(*, root: Path = ROOT) -> list[str]:
    """What the processor has for matrix products, e.g. `["avx2", "avx512", "bf16", "vnni"]`."""
    flags = _cpu_info(root).get("flags", "") or _cpu_info(root).get("Features", "")
    if sys.platform == "darwin":
        flags = " ".join(map(_sysctl, ("machdep.cpu.features", "machdep.cpu.leaf7_features")))
        flags += " asimd" if platform.machine() == "arm64" else ""
        flags += " bf16" if _sysctl("hw.optional.arm.FEAT_BF16") == "1" else ""
    if not flags.strip():
        flags = torch.backends.cpu.get_cpu_capability().replace("AVX512", "AVX2 avx512f")
    known = set(flags.lower().split())
    return [name for name, marks in _FEATURES.items() if not marks.isdisjoint(known)]


def processor_name(*, root: Path = ROOT) -> str:
    """What the maker calls the processor, e.g. `"AMD EPYC"`."""
    name = _cpu_info(root).get("model name", "")
    if sys.platform == "darwin":
        name = _sysctl("machdep.cpu.brand_string")
    return name or platform.processor() or platform.machine() or "unknown"


def matrix_peak(device: torch.device, dtype: torch.dtype, *, seconds: float = 0.15) -> float:
    """The fastest that a large matrix product ran here, in FLOP/s; measured once per process.

    It runs with torch's present number of threads and changes no setting and no random state.

    Args:
        seconds: how long to measure.
    """
    return _measured_peak(device, dtype, seconds, torch.get_num_threads())


@functools.cache
def _measured_peak(device: torch.device, dtype: torch.dtype, seconds: float, threads: int) -> float:
    """`matrix_peak`, remembered for each number of threads."""
    # Large ones feed many cores; small ones fit between the turns of other programs.
    few = (512, 1024) if threads <= FEW_THREADS else (512, 1024, 2048)
    sizes = {"cpu": few, "cuda": (4096, 8192)}.get(device.type, (2048, 4096))
    best = 0.0
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        for size in sizes:
            fastest = _fastest_product(size, device, dtype, seconds / len(sizes))
            best = max(best, 2 * size**3 / fastest)
            if fastest > seconds / len(sizes):
                break  # a slow machine has no use for larger ones
    return best


def _fastest_product(size: int, device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """The shortest time, in seconds, of one product of square matrices of this size."""
    generator = torch.Generator(device).manual_seed(0)
    left, right = torch.randn(2, size, size, generator=generator, device=device, dtype=dtype)

    def product() -> float:
        start = time.perf_counter()
        torch.mm(left, right)
        _wait(device)
        return time.perf_counter() - start

    product()  # the first one pays for setting up
    end = time.perf_counter() + seconds
    best = product()
    while time.perf_counter() < end:
        best = min(best, product())
    return best


def _wait(device: torch.device) -> None:
    """Until the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def facts() -> list[Fact]:
    """What a person wants to know about the machine before training on it."""
    return [*_processor_facts(), *_device_facts()]


def _processor_facts() -> Iterator[Fact]:
    topic, name, memory = "Processor", processor_name(), memory_bytes()
    yield Fact(topic, "name", name, f"{name} ({platform.machine()})")
    yield Fact(topic, "features", features(), " ".join(features()) or "none for matrix products")
    yield Fact(topic, "memory", memory, f"{memory / 2**30:.1f} GiB" if memory else "unknown")
    yield Fact(topic, "cores", cores(), f"{cores()} for this process")
    threads = torch.get_num_threads()
    yield Fact(topic, "threads", threads, f"{threads} in torch")


def _device_facts() -> Iterator[Fact]:
    for device in map(torch.device, devices()):
        text = {"cpu": "the processor", "mps": "Apple GPU"}.get(device.type, "")
        text = text or torch.cuda.get_device_name(device)
        yield Fact("Devices", str(device), text, text)
        for dtype in (torch.float32, torch.bfloat16)[: 1 + has_bfloat16(device)]:
            precision, peak = str(dtype).removeprefix("torch."), matrix_peak(device, dtype)
            unit, size = ("TFLOP/s", 1e12) if peak >= 1e12 else ("GFLOP/s", 1e9)
            text = f"{peak / size:.3g} {unit}, measured matrix peak"
            yield Fact("Devices", f"{device} {precision}", peak, text)


def is_translated() -> bool:
    """Whether Python was built for Intel and runs on Apple silicon under Rosetta."""
    return _sysctl("sysctl.proc_translated") == "1"


def _physical(logical: Iterable[int], root: Path) -> int:
    """How many physical cores these logical processors are; each counts where nothing is known."""
    cpu = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    return len({_read(root / cpu.format(number)) or str(number) for number in logical})


def _cpu_limits(root: Path) -> Iterator[int]:
    """The container's limits, in whole processors, at every level that has one."""
    quotas = [text.split() for text in _cgroup("cpu", "cpu.max", root)]  # version 2
    version_1 = [_cgroup("cpu", f"cpu.cfs_{part}_us", root) for part in ("quota", "period")]
    quotas += [[quota, period] for quota, period in zip(*version_1, strict=False)]
    for quota, period in quotas:
        if quota.isdigit():  # not "max" or "-1": no limit
            yield int(quota) // int(period)


def _memory_limits(root: Path) -> Iterator[int]:
    """The container's limits, in bytes, at every level that has one."""
    for name in ("memory.max", "memory.limit_in_bytes"):  # version 2, version 1
        yield from (int(text) for text in _cgroup("memory", name, root) if text.isdigit())


def _cgroup(controller: str, name: str, root: Path) -> Iterator[str]:
    """The content of a control group's file at every level, from this process's to the top.

    Source: cgroups(7). Inside a container the group's own path may be hidden: then only the top.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / (controller if controllers else "")
        steps = [step for step in path.split("/") if step not in ("", "..")]
        levels = [top.joinpath(*steps[:depth]) for depth in range(len(steps), -1, -1)]
        yield from filter(None, (_read(level / name) for level in levels))


@functools.cache
def _cpu_info(root: Path) -> dict[str, str]:
    """What Linux says of the first processor; empty elsewhere."""
    first = _read(root / "proc/cpuinfo").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _read(path: Path) -> str:
    """A small system file's text; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


@functools.cache
def _sysctl(key: str) -> str:
    """What macOS says of itself under `key`; empty where it does not know, and elsewhere."""
    if sys.platform == "darwin":
        asked = subprocess.run(["sysctl", "-n", key], capture_output=True, text=True, check=False)
        return asked.stdout.strip()
    return ""


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 at all; Apple's do from macOS 14 on."""
    return device.type != "mps" or int(platform.mac_ver()[0].split(".")[0] or 0) >= 14
