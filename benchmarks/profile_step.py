"""Where the time of a training step goes, as a table: by torch's profiler, eager and compiled.

Each operation's own time is counted under the group of its name. An operation of the backward pass
that could belong anywhere (a multiplication, a sum) goes where the forward operation it came from
belongs. A compiled kernel does several things at once; it is counted under the costliest that its
name tells. The shares are of the profiled step, which is slower than the plain one by as much as
the profiler costs; both times are told. The last line is what no operation accounts for.

Run: python benchmarks/profile_step.py [--sizes small large] [--presets gpt2 qwen3]
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Any

from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from common import save, table
from nextword.config import ModelConfig
from nextword.presets import preset
from nextword.training.backends.allocator import kept_memory, settled_objects
from steps import Step, gpt2_124m

SIZES = {"small": 12, "large": 4, "tiny": 2}  # name → sequences per step
MODES = ("eager", "compiled")
OTHER, REST = "views, autograd, dispatch", "Python and the profiler"
GROUPS = {  # group → parts of operations' names; the first group that fits an operation has it
    "blocks in one call": ("BlocksStep",),
    "loss": ("LossStep", "log_softmax", "nll_loss", "cross_entropy"),
    "attention products": ("bmm", "scaled_dot_product", "flash_attention"),
    "matrix products": ("::mm", "addmm", "mkldnn_linear", "linear_pointwise", "mkl_linear"),
    "softmax": ("softmax",),
    "norms": ("rms_norm", "layer_norm", "rsqrt", "RMSNormStep", "DealHeadsStep"),
    "activation": ("gelu", "silu", "relu", "sigmoid", "tanh", "SwiGLUStep", "GELUStep"),
    "casts and copies": ("copy_", "contiguous", "clone", "::cat", "repeat", "_to_copy"),
    "elementwise": ("::add", "::mul", "::sum", "::neg", "::div", "::pow", "::sub"),
}
FUSED = "cpp_fused"  # a compiled kernel, named by all that was fused into it
OPTIMIZER = "optimizer"
ORDER = (*GROUPS, OPTIMIZER, OTHER, REST)
WHOLE = ("part: optimizer", "Optimizer.")  # all that happens inside belongs to the optimizer
FORWARD_DECIDES = ("elementwise", "casts and copies", OTHER)  # these may be anyone's backward
STEPS = 3


def model(size: str, name: str) -> ModelConfig:
    """nanoGPT's CPU size, GPT-2's smallest, or one to try this program."""
    if size == "large":
        return gpt2_124m(name, context=256)
    width = 128 if size == "small" else 32
    sizes = {"d_model": width, "n_layers": width // 32, "n_heads": width // 32}
    return preset(name, vocab_size=68, context_length=64, **sizes)


def lineage(event: FunctionEvent) -> Iterator[FunctionEvent]:
    """An event, what called it, what called that, …"""
    caller: FunctionEvent | None = event
    while caller is not None:
        yield caller
        caller = caller.cpu_parent


def by_name(event: FunctionEvent) -> str:
    """The group of an operation by its own name, or else by its callers'."""
    found = [group for caller in lineage(event) if (group := _named(caller.name)) != OTHER]
    if "norms" in found or "loss" in found:  # made of operations that are also elsewhere
        return "loss" if "loss" in found else "norms"
    return found[0] if found else OTHER


def _named(name: str) -> str:
    fits = [group for group, parts in GROUPS.items() if any(part in name for part in parts)]
    if FUSED in name:  # such a name lists casts and copies that the fusion has done away with
        fits = [group for group in fits if group not in FORWARD_DECIDES] or ["elementwise"]
    return fits[0] if fits else OTHER


def group_of(event: FunctionEvent, forward: dict[int, str]) -> str:
    """Where an event's own time is counted.

    Args:
        event: any of the profile.
        forward: the group of the forward operation with each sequence number.
    """
    callers = list(lineage(event))
    if any(caller.name.startswith(WHOLE) for caller in callers):
        return OPTIMIZER
    group = by_name(event)
    if group not in FORWARD_DECIDES or not is_backward(callers[-1]):
        return group
    came_from = forward.get(callers[-1].sequence_nr, group)
    return came_from if came_from in ("norms", "activation", "loss", "softmax") else group


def is_backward(event: FunctionEvent) -> bool:
    """Whether this is autograd at work."""
    return event.name.startswith("autograd::engine")


def profiled(step: Step) -> dict[str, float]:
    """Milliseconds per step of each group; the sum is the profiled step's time."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        start = time.perf_counter()
        for _ in range(STEPS):
            step()
        wall = (time.perf_counter() - start) * 1e3 / STEPS
    events: list[FunctionEvent] = list(profiler.events() or [])
    forward: dict[int, str] = {}
    for event in events:
        if event.sequence_nr >= 0 and not any(map(is_backward, lineage(event))):
            forward[event.sequence_nr] = by_name(event)
    spent = dict.fromkeys(ORDER, 0.0)
    for event in events:
        spent[group_of(event, forward)] += event.self_cpu_time_total / 1e3 / STEPS
    spent[REST] = wall - sum(spent.values())
    return spent


def measure(size: str, name: str, mode: str, *, seconds: float) -> dict[str, Any]:
    """One column of the table: the step's wall time, and the groups' shares of it in percent."""
    import torch._inductor.config as inductor

    inductor.cpp.enable_kernel_profile = True  # gives compiled kernels a name in the profile
    inductor.cpp.descriptive_names = "original_aten"
    compiled = mode == "compiled"
    step = Step(model(size, name), batch=SIZES[size], compiled=compiled, shards=1)
    wall = step.seconds(at_least=seconds) * 1e3
    spent = profiled(step)
    slowed = sum(spent.values())
    shares = {f"{group}, %": 100 * spent[group] / slowed for group in ORDER}
    return {
        "step": f"{size} {name} {mode}",
        "ms": wall,
        "tokens/s": step.tokens / wall * 1e3,
        "ms with the profiler": slowed,
    } | shares


def turned(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same table with a line for each group and a column for each step, easier to read."""
    names = [name for name in rows[0] if name != "step"]
    return [{"": name} | {row["step"]: row[name] for row in rows} for name in names]


def main() -> None:
    """Profile each size, preset and mode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=sorted(SIZES), default=["small", "large"])
    parser.add_argument("--presets", nargs="+", default=["gpt2", "qwen3"])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--seconds", type=float, default=5.0, help="of steps before the profile")
    parser.add_argument("--dry", action="store_true", help="save nothing")
    given = parser.parse_args()
    with kept_memory(), settled_objects():
        rows = [
            measure(size, name, mode, seconds=given.seconds)
            for size in given.sizes
            for name in given.presets
            for mode in given.modes
        ]
    if given.dry:
        print(table(turned(rows)))
    else:
        save("profile_step", command="python benchmarks/profile_step.py", rows=turned(rows))


if __name__ == "__main__":
    main()
