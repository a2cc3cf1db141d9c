"""Settings that travel together in a config.json: rotary position, and sliding windows.

transformers 5 writes `rope_parameters` {rope_type, rope_theta, factor, …}; before, it wrote
`rope_theta` beside `rope_scaling`. Both are read, and both are written.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nextword.config import ModelConfig, RotaryScaling, config_from
from nextword.errors import FolderError, unsupported

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """A few settings and their three directions.

    Attributes:
        read: config.json and the settings read so far → more settings.
        write: a ModelConfig → keys of config.json.
        fits: whether `write` can say what the ModelConfig says.
    """

    read: Callable[[Json, Json], dict[str, Any]]
    write: Callable[[ModelConfig], dict[str, Any]]
    fits: Callable[[ModelConfig], bool]


# --- rotary position -----------------------------------------------------------------------------

DEFAULT_BASE = 10000.0
ORIGINAL = "original_max_position_embeddings"
SCALINGS: dict[str, dict[str, str]] = {  # rope_type: their keys → fields of RotaryScaling
    "linear": {"factor": "factor"},
    "llama3": {
        "factor": "factor",
        ORIGINAL: "original_context_length",
        "low_freq_factor": "low_freq_factor",
        "high_freq_factor": "high_freq_factor",
    },
    "yarn": {
        "factor": "factor",
        ORIGINAL: "original_context_length",
        "beta_fast": "beta_fast",
        "beta_slow": "beta_slow",
        "attention_factor": "attention_factor",
    },
}
NO_SCALING = "default"
ROPE_ONLY: dict[str, tuple[Any, ...]] = {  # what else may stand there, and with which values
    "partial_rotary_factor": (None, 1.0),
    "truncate": (None, True),
    "llama_4_scaling_beta": (None, 0),  # Ministral 3: queries grow with their place
}


def _write_rotary(config: ModelConfig) -> dict[str, Any]:
    base = {"rope_theta": config.rotary_base}
    scaling = config.rotary_scaling
    if scaling is None:
        return base | {"rope_scaling": None, "rope_parameters": base | {"rope_type": NO_SCALING}}
    said = {theirs: getattr(scaling, ours) for theirs, ours in SCALINGS[scaling.kind].items()}
    said = {name: value for name, value in said.items() if value is not None}
    rope = {"rope_type": scaling.kind} | base | said
    return base | {
        "rope_scaling": rope,
        "rope_parameters": rope,
        ORIGINAL: scaling.original_context_length,  # linear has no place of its own for it
    }


def _read_rotary(values: Json, settings: Json) -> dict[str, Any]:
    """The base and the scaling.

    Raises:
        FolderError: a scaling that we do not compute, or impossible numbers.
    """
    rope = values.get("rope_scaling") or values.get("rope_parameters") or {}
    if not isinstance(rope, Mapping) or any(isinstance(item, Mapping) for item in rope.values()):
        raise FolderError(
            "config.json gives rope_parameters for each kind of layer; supported is one set for all"
        )
    for name, allowed in ROPE_ONLY.items():
        if rope.get(name) not in allowed:
            raise FolderError(
                f"config.json sets {name} to {rope[name]!r} in rope_parameters; "
                f"supported is {allowed[-1]!r}"
            )
    base = rope.get("rope_theta", values.get("rope_theta", DEFAULT_BASE))
    kind = rope.get("rope_type", rope.get("type", NO_SCALING))
    if kind == NO_SCALING:
        return {"rotary_base": base, "rotary_scaling": None}
    if kind not in SCALINGS:
        known = [NO_SCALING, *SCALINGS]
        raise FolderError(unsupported("rope_type in config.json", str(kind), known))
    return {"rotary_base": base, "rotary_scaling": _read_scaling(kind, rope, values, settings)}


def _read_scaling(kind: str, rope: Json, values: Json, settings: Json) -> RotaryScaling:
    heard = ((ours, rope.get(theirs)) for theirs, ours in SCALINGS[kind].items())
    said: dict[str, Any] = {ours: value for ours, value in heard if value is not None}
    context = settings["context_length"]
    original = values.get(ORIGINAL) or rope.get(ORIGINAL) or context
    if "factor" not in said:
        if kind != "yarn":
            raise FolderError(f"config.json has no 'factor' for its rope_type {kind!r}")
        said["factor"] = context / original
    if kind == "yarn" and "attention_factor" not in said:
        said |= _attention_factor(rope, said["factor"])
    said["original_context_length"] = original
    return config_from(RotaryScaling, {"kind": kind} | said)


def _attention_factor(rope: Json, factor: float) -> dict[str, float]:
    """DeepSeek's way to say it: the ratio of two scales (arXiv 2412.19437)."""
    above, below = rope.get("mscale"), rope.get("mscale_all_dim")
    if not above or not below:
        return {}

    def scale(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    return {"attention_factor": scale(above) / scale(below)}


def _says_rotary(config: ModelConfig) -> bool:
    """Every scaling that ModelConfig knows has its name there."""
    return config.rotary_scaling is None or config.rotary_scaling.kind in SCALINGS


ROTARY = Part(_read_rotary, _write_rotary, _says_rotary)


# --- sliding windows -----------------------------------------------------------------------------

SLIDING, FULL = "sliding_attention", "full_attention"
MISTRAL_WINDOW = QWEN_WINDOW = 4096  # what an absent key means
QWEN_FULL_LAYERS = 28  # max_window_layers: the first layers look back on everything


def _windows(config: ModelConfig) -> list[int | None]:
    return [config.window(layer) for layer in range(config.n_layers)]


def _no_window(config: ModelConfig) -> bool:
    return not any(_windows(config))


def _nothing(*_: Any) -> dict[str, Any]:
    return {}


def _read_everywhere(values: Json, _: Json) -> dict[str, Any]:
    return {"sliding_window": values.get("sliding_window", MISTRAL_WINDOW)}


def _write_everywhere(config: ModelConfig) -> dict[str, Any]:
    return {"sliding_window": _windows(config)[0]}


def _one_window(config: ModelConfig) -> bool:
    return len(set(_windows(config))) == 1


def _read_in_layers(values: Json, settings: Json) -> dict[str, Any]:
    """Qwen's window: `layer_types` says which layers have it, or all from max_window_layers on.

    Raises:
        FolderError: a layer of another kind, or not one kind for each layer.
    """
    n_layers = settings["n_layers"]
    window = values.get("sliding_window", QWEN_WINDOW)
    if not values.get("use_sliding_window", False) or window is None:
        return {}
    first = values.get("max_window_layers", QWEN_FULL_LAYERS)
    kinds = values.get("layer_types") or [FULL if i < first else SLIDING for i in range(n_layers)]
    if len(kinds) != n_layers:
        raise FolderError(f"config.json has {len(kinds)} layer_types for {n_layers} layers")
    for kind in kinds:
        if kind not in (SLIDING, FULL):
            known = (SLIDING, FULL)
            raise FolderError(unsupported("a layer type in config.json", str(kind), known))
    sliding = tuple(layer for layer, kind in enumerate(kinds) if kind == SLIDING)
    if not sliding:
        return {}
    return {
        "sliding_window": window,
        "sliding_layers": None if len(sliding) == n_layers else sliding,
    }


def _write_in_layers(config: ModelConfig) -> dict[str, Any]:
    windows = _windows(config)
    sliding = [layer for layer, window in enumerate(windows) if window]
    return {
        "use_sliding_window": bool(sliding),
        "sliding_window": config.sliding_window if sliding else None,
        "max_window_layers": min(sliding, default=config.n_layers),
        "layer_types": [SLIDING if window else FULL for window in windows],
    }


NO_WINDOW = Part(_nothing, _nothing, _no_window)
WINDOW_EVERYWHERE = Part(_read_everywhere, _write_everywhere, _one_window)
WINDOW_IN_LAYERS = Part(_read_in_layers, _write_in_layers, lambda _: True)
