"""Choose how training steps are computed, from measured steps of the very model on this machine.

A CPU's instruction flags and its matrix peak say little about which way is the fastest: that
depends on the sizes of the model and the batch, on caches and on what else is running. So each
candidate takes a few steps, and the fastest one is kept in the plan of the run: a resumed run
computes in the same way, bit for bit. Speeds measured on a machine without other work are cached,
so the same command chooses the same way again.
"""

import dataclasses
import functools
import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch

import nextword
from nextword.common.cpu_load import LoadMeter
from nextword.common.files import write_whole
from nextword.config import ModelConfig, Precision, TrainingConfig
from nextword.data.prepared import Prepared
from nextword.errors import NextwordError
from nextword.hardware import (
    SHARED,
    features,
    has_bfloat16,
    has_fast_bfloat16,
    pick_device,
    pick_precision,
    processor_name,
)
from nextword.kernels import quantized_matmul
from nextword.kernels.build import cache_folder
from nextword.model.decoder import Decoder
from nextword.training.backends.backend import Backend
from nextword.training.backends.data_parallel import n_shards
from nextword.training.backends.precision import SHORT, fits_8_bits, goes_at_once
from nextword.training.optim.muon import orthogonal
from nextword.training.plan.throughput import step_times

SECONDS_EACH = 0.3  # of measured steps for a candidate, warm-up apart
MAX_STEPS = 12  # measured for a candidate
HOPELESS = 1.5  # times as long as the best so far: not measured any further
SHORT_RUN = 3.0  # seconds; a run that takes no longer in float32 is not worth measuring for
CACHE_ENTRIES = 500  # the oldest are dropped
CACHE = "throughput.json"
MUON_DTYPES = (torch.float32, torch.bfloat16)
MUON_GAIN = 1.2  # times faster that bfloat16 must be
LARGE = 2**20  # parameters; plans of version 0.1 took 8 bits from here on


def choose_backend(
    model: ModelConfig,
    data: Prepared,
    training: TrainingConfig,
    *,
    pretrained: bool = False,
    like: Backend | None = None,
) -> Backend:
    """Choose the fastest way to take a training step, or the one that was asked for.

    Args:
        model: its architecture and sizes.
        data: where the batches for measuring come from.
        training: every setting, the number of steps among them.
        pretrained: whether training goes on from learned weights, which may need more than the 8
            bits that suit a new model (docs/precision.md).
        like: what was chosen for a smaller model on the same data: what was hopeless there is not
            measured again.
    """
    speeds: dict[Precision, float] = {}
    name: Precision
    if training.precision != "auto":
        name, reason = training.precision, f"{training.precision}, as asked for"
    elif training.compile == "yes":
        name = _compiled_precision(training)
        reason = f"{name}: compiled steps are not measured"
    else:
        names = candidates(model, training, pretrained=pretrained)
        if like is not None and like.speeds:
            least = max(like.speeds.values()) / HOPELESS
            names = [each for each in names if like.speeds.get(each, 0.0) >= least]
        speeds = _measured(model, data, training, names, pretrained=pretrained)
        name = max(speeds, key=lambda each: speeds[each])
        reason = describe(speeds) if like is None or len(speeds) > 1 else like.reason
    shards, native = _shards(model, data, dataclasses.replace(training, precision=name))
    return Backend(name, shards, native, fastest_muon(model, training), speeds, reason)


def fastest_muon(model: ModelConfig, training: TrainingConfig) -> Precision:
    """Return the precision in which Muon orthogonalizes a model's matrices fastest.

    bfloat16 is exact enough for it (Jordan et al. 2024 use it), and on a CPU whose products are
    fast in it takes a quarter of the time; on one without such products it takes longer.
    """
    device = pick_device(training.device)
    if training.precision != "auto":  # who asks for a precision gets it everywhere
        return "bfloat16" if training.precision == "bfloat16" else "float32"
    if training.optimizer != "muon" or not has_bfloat16(device):
        return "float32"
    if device.type != "cpu":
        return "bfloat16" if has_fast_bfloat16(device) else "float32"
    with torch.device("meta"):
        decoder = Decoder(model)
    shapes = {tuple(each.shape) for each in decoder.blocks.parameters() if each.dim() > 1}
    seconds = {dtype: _muon_seconds(frozenset(shapes), dtype) for dtype in MUON_DTYPES}
    faster = MUON_GAIN * seconds[torch.bfloat16] < seconds[torch.float32]
    return "bfloat16" if faster else "float32"


@functools.cache
def _muon_seconds(shapes: frozenset[tuple[int, ...]], dtype: torch.dtype) -> float:
    """Return the seconds to orthogonalize one matrix of each shape, the fastest of a few times."""
    matrices = [torch.randn(1, *shape) for shape in sorted(shapes)]
    best, end = math.inf, time.perf_counter() + SECONDS_EACH
    while best == math.inf or time.perf_counter() < end:
        start = time.perf_counter()
        for each in matrices:
            orthogonal(each, dtype)
        best = min(best, time.perf_counter() - start)
    return best


def describe(speeds: Mapping[Precision, float]) -> str:
    """Return what was compared, the fastest first, in one line."""
    if not speeds:
        return ""
    ordered = sorted(speeds.items(), key=lambda item: -item[1])
    if len(ordered) == 1:
        return f"{ordered[0][0]}: nothing else was worth measuring"
    best, *others = (f"{name} {speed:,.0f} tokens/s" for name, speed in ordered)
    return f"{best}, measured; {', '.join(others)}"


def candidates(
    model: ModelConfig, training: TrainingConfig, *, pretrained: bool = False
) -> list[Precision]:
    """Return the precisions worth measuring on this machine, float32 first."""
    device = pick_device(training.device)
    names: list[Precision] = ["float32"]
    if has_bfloat16(device):
        names.append("bfloat16")
    with torch.device("meta"):
        decoder = Decoder(model)
    if goes_at_once(decoder, training, device):
        names.append("int16" if pretrained or not fits_8_bits(model) else "int8")
    return names


def version_0_1_backend(
    model: ModelConfig, data: Prepared, training: TrainingConfig, *, pretrained: bool
) -> Backend:
    """Return the backend that version 0.1 used for a run whose plan says "auto".

    Version 0.1 decided by CPU flags, and a run that it started must keep its bits.
    """
    device = pick_device(training.device)
    name: Precision = training.precision
    if name == "auto":
        fast = has_fast_bfloat16(device)
        name = "bfloat16" if fast else "float32"
        with torch.device("meta"):
            decoder = Decoder(model)
        short = "int8" if decoder.n_parameters >= LARGE and not pretrained else "int16"
        if not fast and quantized_matmul.is_fast() and goes_at_once(decoder, training, device):
            tried: Precision = "int8" if short == "int8" and fits_8_bits(model) else "int16"
            shards, _ = _shards(model, data, dataclasses.replace(training, precision=tried))
            if shards == torch.get_num_threads():
                name = tried
    shards, native = _shards(model, data, dataclasses.replace(training, precision=name))
    native = native and shards == torch.get_num_threads()
    muon: Precision = "bfloat16" if name == "bfloat16" else "float32"
    return Backend(name, shards, native, muon, {}, f"{name}, as version 0.1 began it")


def _compiled_precision(training: TrainingConfig) -> Precision:
    return "bfloat16" if has_fast_bfloat16(pick_device(training.device)) else "float32"


def _shards(model: ModelConfig, data: Prepared, training: TrainingConfig) -> tuple[int, bool]:
    """Return into how many shards a batch is split, and whether each is native.

    A batch too small to split is computed by a single thread of C all the same: torch's threads
    are no faster on it, and beside other programs they are many times slower.
    """
    device = pick_device(training.device)
    with torch.device("meta"):
        decoder = Decoder(model)
    decoder.compute_dtype = pick_precision(training.precision, device)
    rows = training.batch_size // training.accumulate
    shards = n_shards(decoder, training, rows=rows, context=data.context, device=device)
    return shards, goes_at_once(decoder, training, device)


def _measured(
    model: ModelConfig,
    data: Prepared,
    training: TrainingConfig,
    names: Sequence[Precision],
    *,
    pretrained: bool,
) -> dict[Precision, float]:
    """Return the tokens per second of each candidate that was worth measuring."""
    key = _fingerprint(model, data, training, pretrained=pretrained)
    cached = _read_cache()
    known = dict(cached.get(key, {}))
    tokens = training.batch_size * data.context
    refused: NextwordError | None = None
    load = LoadMeter()
    for name in names:
        if name in known:
            continue
        best = tokens / max(known.values()) if known else None
        candidate = dataclasses.replace(training, precision=name)
        muon = fastest_muon(model, training)
        try:
            seconds = _fastest_step(model, data, candidate, muon=muon, best=best)
        except NextwordError as error:  # such as int8 where a batch cannot be split evenly
            refused = error
            continue
        known[name] = tokens / seconds
        if len(known) == 1 and training.steps * seconds < SHORT_RUN:
            return {name: known[name]}  # not cached: a longer run measures the others, too
    if not known and refused is not None:
        raise refused
    if known != cached.get(key) and load.busy_cores() < SHARED:
        _write_cache({**{k: v for k, v in cached.items() if k != key}, key: known})
    return {name: speed for name, speed in known.items() if name in names}


def _fastest_step(
    model: ModelConfig,
    data: Prepared,
    training: TrainingConfig,
    *,
    muon: Precision,
    best: float | None,
) -> float:
    """Return the seconds of the fastest of a few steps.

    Raises:
        NextwordError: the candidate cannot run.
    """
    _, native = _shards(model, data, training)
    steps = step_times(model, data, training, native=native, muon_precision=muon)
    try:
        warm_up = next(steps)
        if best is not None and warm_up > 20 * best and warm_up > 10 * SECONDS_EACH:
            return warm_up
        fastest, count, end = next(steps), 1, time.perf_counter() + SECONDS_EACH
        while count < MAX_STEPS and time.perf_counter() < end:
            if best is not None and fastest > HOPELESS * best and count > 1:
                break
            fastest, count = min(fastest, next(steps)), count + 1
    finally:
        steps.close()
    return fastest


def _fingerprint(
    model: ModelConfig, data: Prepared, training: TrainingConfig, *, pretrained: bool
) -> str:
    """Return what the measured speeds depend on, as a short hash."""
    facts = {
        "model": dataclasses.asdict(model),
        "batch": [training.batch_size, training.accumulate, data.context, training.learn],
        "dialogue": data.is_dialogue,
        "optimizer": training.optimizer,
        "dropout": training.dropout > 0,
        "device": str(pick_device(training.device)),
        "threads": torch.get_num_threads(),
        "pretrained": pretrained,
        "processor": [processor_name(), *features()],
        "versions": [nextword.__version__, torch.__version__],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def _cache_file() -> Path | None:
    folder = cache_folder()
    return None if folder is None else folder / CACHE


def _read_cache() -> dict[str, dict[Precision, float]]:
    """Return the cached speeds; none where the file is missing or damaged."""
    file = _cache_file()
    if file is None or not file.is_file():
        return {}
    with suppress(OSError, ValueError):
        content = json.loads(file.read_text())
        if isinstance(content, dict) and all(map(_is_entry, content.values())):
            return content
    return {}


def _is_entry(value: object) -> bool:
    return isinstance(value, dict) and all(
        name in ("float32", "bfloat16", *SHORT) and isinstance(speed, float) and speed > 0
        for name, speed in value.items()
    )


def _write_cache(content: dict[str, dict[Precision, float]]) -> None:
    file = _cache_file()
    if file is not None:
        newest = dict(list(content.items())[-CACHE_ENTRIES:])
        with suppress(NextwordError):  # a full disk costs a measurement, not a training
            write_whole(file, json.dumps(newest))
