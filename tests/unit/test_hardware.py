"""Devices, precision, and what a container leaves of the machine."""

import os
import sys
from pathlib import Path

import pytest
import torch

from nextword import hardware
from nextword.errors import ConfigError

CPU = torch.device("cpu")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc and /sys")


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def four_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)


def test_auto_is_the_first_device_and_every_name_there_is_can_be_picked() -> None:
    there = hardware.devices()
    assert there[-1] == "cpu"
    assert hardware.pick_device("auto") == torch.device(there[0])
    for name in there:
        assert hardware.pick_device(name) == torch.device(name)


def test_auto_prefers_cuda_then_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert hardware.devices() == ["cuda:0", "cuda:1", "mps", "cpu"]
    assert hardware.pick_device("auto") == torch.device("cuda:0")
    assert hardware.pick_device("cuda") == torch.device("cuda:0")
    with pytest.raises(ConfigError, match="'cuda:7' is not available here; available are: cuda:0"):
        hardware.pick_device("cuda:7")


def test_a_device_that_is_not_there_says_what_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "devices", lambda: ["cpu"])
    with pytest.raises(ConfigError, match="'cuda' is not available here; available are: cpu"):
        hardware.pick_device("cuda")
    with pytest.raises(ConfigError, match=r"unknown device 'cpuu'; .* Did you mean 'cpu'"):
        hardware.pick_device("cpuu")


def test_auto_precision_follows_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "has_fast_bfloat16", lambda _: False)
    assert hardware.pick_precision("auto", CPU) == torch.float32
    assert hardware.pick_precision("bfloat16", CPU) == torch.bfloat16
    monkeypatch.setattr(hardware, "has_fast_bfloat16", lambda _: True)
    assert hardware.pick_precision("auto", CPU) == torch.bfloat16
    assert hardware.pick_precision("float32", CPU) == torch.float32
    with pytest.raises(ConfigError, match="unknown precision 'float23'"):
        hardware.pick_precision("float23", CPU)  # type: ignore[arg-type]


@pytest.mark.parametrize(("capability", "fast"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_bfloat16_is_fast_on_cuda_from_8_0(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], fast: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert hardware.has_fast_bfloat16(torch.device("cuda:0")) is fast


@pytest.mark.parametrize(
    ("chip", "system", "fast"),
    [("Apple M1 Pro", "15.1", False), ("Apple M4", "15.1", True), ("Apple M4", "13.6", False)],
)
def test_bfloat16_is_fast_on_recent_apple_chips(
    monkeypatch: pytest.MonkeyPatch, chip: str, system: str, fast: bool
) -> None:
    monkeypatch.setattr(hardware, "_sysctl", lambda _: chip)
    monkeypatch.setattr("platform.mac_ver", lambda: (system, ("", "", ""), "arm64"))
    mps = torch.device("mps")
    assert hardware.has_fast_bfloat16(mps) is fast
    if system == "13.6":
        with pytest.raises(ConfigError, match=r"needs macOS 14 or later; this is macOS 13\.6"):
            hardware.pick_precision("bfloat16", mps)


@on_linux
@pytest.mark.parametrize(
    ("vendor", "flags", "fast"),
    [
        ("AuthenticAMD", "avx512f avx512_bf16", True),
        ("AuthenticAMD", "avx512f", False),
        ("GenuineIntel", "avx512f avx512_bf16", False),  # AMX is not there, or hidden
        ("GenuineIntel", "avx512f avx512_bf16 amx_tile amx_bf16", True),
    ],
)
def test_bfloat16_is_fast_on_intel_with_amx_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vendor: str, flags: str, fast: bool
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    write(tmp_path, "proc/cpuinfo", f"vendor_id\t: {vendor}\nflags\t\t: fpu avx2 {flags}\n")
    assert hardware.has_fast_bfloat16(CPU, root=tmp_path) is fast


@on_linux
@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16 avx512_vnni", "avx2 avx512 bf16 vnni"),
        ("flags\t\t: fpu avx2 amx_tile amx_bf16 avx_vnni", "avx2 amx vnni"),
        ("Features\t: fp asimd asimddp bf16 sve", "bf16 vnni neon sve"),
        ("flags\t\t: fpu sse4_2", ""),
    ],
)
def test_features_are_read_from_cpuinfo(tmp_path: Path, info: str, expected: str) -> None:
    write(tmp_path, "proc/cpuinfo", f"model name\t: Abacus 3\n{info}\n\nmodel name\t: other\n")
    assert hardware.features(root=tmp_path) == expected.split()
    assert hardware.processor_name(root=tmp_path) == "Abacus 3"


@on_linux
def test_two_threads_of_a_core_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    four_processors(monkeypatch)
    assert hardware.cores(root=tmp_path) == 4  # nothing known: each counts
    for number, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        path = f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list"
        write(tmp_path, path, f"{siblings}\n")
    assert hardware.cores(root=tmp_path) == 2


@on_linux
@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        ("max 100000", "max 100000", 4),
        ("max 100000", "350000 100000", 3),
        ("200000 100000", "350000 100000", 2),  # the narrowest level counts
        ("max 100000", "50000 100000", 1),  # half a processor is still one thread
    ],
)
def test_cpu_limit_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outer: str, inner: str, expected: int
) -> None:
    four_processors(monkeypatch)
    write(tmp_path, "proc/self/cgroup", "0::/pod/box\n")
    write(tmp_path, "sys/fs/cgroup/pod/cpu.max", f"{outer}\n")
    write(tmp_path, "sys/fs/cgroup/pod/box/cpu.max", f"{inner}\n")
    assert hardware.cores(root=tmp_path) == expected


@on_linux
def test_limits_of_version_1_of_control_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    four_processors(monkeypatch)
    write(tmp_path, "proc/self/cgroup", "4:memory:/docker/7f\n3:cpu,cpuacct:/docker/7f\n")
    # In the container its own group is the top one: the path above is not to be seen.
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n")
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    write(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", "123456789\n")
    assert hardware.cores(root=tmp_path) == 3
    assert hardware.memory_bytes(root=tmp_path) == 123456789


@on_linux
def test_memory_limit_of_a_container(tmp_path: Path) -> None:
    installed = hardware.memory_bytes(root=tmp_path)
    assert installed is not None
    assert installed > 2**28
    write(tmp_path, "proc/self/cgroup", "0::/\n")
    write(tmp_path, "sys/fs/cgroup/memory.max", "max\n")
    assert hardware.memory_bytes(root=tmp_path) == installed
    write(tmp_path, "sys/fs/cgroup/memory.max", "104857600\n")
    assert hardware.memory_bytes(root=tmp_path) == 100 * 2**20


def test_measuring_the_peak_changes_nothing_and_is_remembered() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with torch.autocast("cpu", dtype=torch.bfloat16):  # a float32 peak must stay one
        peak = hardware.matrix_peak(CPU, torch.float32, seconds=0.03)
    assert 1e8 < peak < 1e15
    assert hardware.matrix_peak(CPU, torch.float32, seconds=0.03) == peak
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_facts_name_each_thing_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "matrix_peak", lambda device, dtype: 2.5e12)
    facts = hardware.facts()
    names = [(fact.topic, fact.name) for fact in facts]
    assert len(names) == len(set(names))
    text = {fact.name: fact.text for fact in facts}
    assert text["cpu float32"] == "2.5 TFLOP/s, measured matrix peak"
    assert text["cores"] == f"{hardware.cores()} for this process"


@pytest.mark.parametrize(
    ("busy", "threads"),
    [(0.0, 3), (0.2, 3), (0.4, 2), (1.0, 2), (1.2, 2), (1.9, 1), (9.0, 1)],
)
def test_threads_follow_the_load_and_come_back(
    busy: float, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(hardware._load, "busy_cores", lambda: busy)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    torch.set_num_threads(3)
    try:
        with hardware.adaptive_threads() as adapt:
            assert torch.get_num_threads() == threads
            monkeypatch.setattr(hardware._load, "busy_cores", lambda: 2.0)
            adapt()
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_on_more_cores_than_threads_all_threads_find_a_free_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(hardware._load, "busy_cores", lambda: 2.0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    torch.set_num_threads(3)
    try:
        with hardware.adaptive_threads():
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_little_work_is_done_by_one_thread_and_more_by_all_free_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(hardware._load, "busy_cores", lambda: 0.0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    torch.set_num_threads(3)
    try:
        with hardware.adaptive_threads(hardware.SMALL_WORK - 1) as adapt:
            assert torch.get_num_threads() == 1
            adapt(hardware.SMALL_WORK)
            assert torch.get_num_threads() == 3
            adapt(1)
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
