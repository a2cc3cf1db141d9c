"""Settings: what is refused and with which words, what is derived, and the way through JSON."""

import ast
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nextword import config as module
from nextword.config import ModelConfig, ReplyConfig, RotaryScaling, TrainingConfig, config_from
from nextword.errors import ConfigError
from nextword.presets import PRESETS, preset

ROTARY: dict[str, Any] = {"kind": "llama3", "factor": 8.0, "original_context_length": 8192}

# Settings that are at odds, and what is said: what was given, what is allowed, how to mend it.
REFUSED: list[tuple[type, dict[str, Any], str]] = [
    (
        RotaryScaling,
        ROTARY | {"factor": 0.5},
        "factor is 0.5; it must be a finite number, at least 1",
    ),
    (
        RotaryScaling,
        ROTARY | {"low_freq_factor": 4.0},
        "high_freq_factor 4.0 must be larger than low_freq_factor 4.0",
    ),
    (
        RotaryScaling,
        ROTARY | {"kind": "lama3"},
        "unknown kind 'lama3'; allowed are: linear, llama3, yarn. Did you mean 'llama3'?",
    ),
    (ModelConfig, {"vocab_size": 0}, "vocab_size is 0; it must be at least 1"),
    (ModelConfig, {"n_layers": -1}, "n_layers is -1; it must be at least 0"),
    (
        ModelConfig,
        {"n_heads": 5},
        "d_model 14 is not a multiple of n_heads 5; change one of them or give d_head",
    ),
    (
        ModelConfig,
        {"n_heads": 7, "n_kv_heads": 3},
        "n_heads 7 is not a multiple of n_kv_heads 3; every key/value head serves the same number "
        "of heads",
    ),
    (
        ModelConfig,
        {"n_heads": 7, "n_kv_heads": 3},
        "n_heads 7 is not a multiple of n_kv_heads 3; every key/value head serves the same number "
        "of heads",
    ),
    (ModelConfig, {"n_kv_heads": 0}, "n_kv_heads is 0; it must be at least 1"),
    (ModelConfig, {"d_ff": -1}, "d_ff is -1; it must be at least 1"),
    (ModelConfig, {"rotary_base": 0.0}, "rotary_base is 0.0; it must be a finite number above 0"),
    (TrainingConfig, {"beta2": 1.0}, "beta2 is 1.0; it must be at least 0 and below 1"),
    (TrainingConfig, {"talks": 1.5}, "talks is 1.5; it must be at least 0 and at most 1"),
    (
        TrainingConfig,
        {"weight_decay": float("nan")},
        "weight_decay is nan; it must be a finite number, at least 0",
    ),
    (
        ModelConfig,
        {"n_heads": 3, "d_head": 4, "output_projection": False},
        "without an output projection n_heads × d_head = 12 must equal d_model 14: the context is "
        "added to the residual as it is",
    ),
    (
        ModelConfig,
        {"n_heads": 1 << 20, "d_head": 1 << 10},
        "n_heads × d_head is 1073741824; it must be at most 268435456: give fewer or narrower "
        "heads",
    ),
    (
        ModelConfig,
        {"context_length": 1 << 53},
        "context_length is 9007199254740992; it must be at least 1 and at most 9007199254740991",
    ),
    (
        ModelConfig,
        {"context_length": 1 << 53, "position": "learned"},
        "context_length is 9007199254740992; it must be at least 1 and at most 268435456",
    ),
    (
        RotaryScaling,
        ROTARY | {"beta_fast": float("inf")},
        "beta_fast is inf; it must be a finite number above 0",
    ),
    (ModelConfig, {"n_heads": 2}, "rotary position needs an even d_head; it is 7"),
    (
        ModelConfig,
        {"position": "learned", "rotary_scaling": RotaryScaling(**ROTARY)},
        "rotary_scaling is given but position is 'learned'; it must be 'rotary'",
    ),
    (
        ModelConfig,
        {"output_projection": False, "output_bias": True},
        "output_bias needs output_projection = true",
    ),
    (
        ModelConfig,
        {"tied_embeddings": True, "unembedding_bias": True},
        "tied_embeddings leave no room for unembedding_bias",
    ),
    (ModelConfig, {"sliding_window": 0}, "sliding_window is 0; it must be at least 1"),
    (ModelConfig, {"sliding_layers": (0,)}, "sliding_layers are given without a sliding_window"),
    (
        ModelConfig,
        {"n_layers": 3, "sliding_window": 5, "sliding_layers": (0, 3)},
        "sliding_layers names layer 3, but there are 3 layers (0 to 2)",
    ),
    (
        ModelConfig,
        {"logit_soft_cap": 0.0},
        "logit_soft_cap is 0.0; it must be a finite number above 0",
    ),
    (
        ModelConfig,
        {"feed_forward": "swigul"},
        "unknown feed_forward 'swigul'; allowed are: none, relu, relu2, gelu, gelu_tanh, silu, "
        "swiglu, geglu. Did you mean 'swiglu'?",
    ),
    (TrainingConfig, {"steps": 0}, "steps is 0; it must be at least 1"),
    (TrainingConfig, {"steps": 2**63}, f"steps is {2**63}; it must be at most {2**63 - 1}"),
    (
        TrainingConfig,
        {"steps": 10**5000},
        f"steps is a number of about 5000 digits; it must be at most {2**63 - 1}",
    ),
    (ReplyConfig, {"top_k": 2**64}, f"top_k is {2**64}; it must be at most {2**63 - 1}"),
    (TrainingConfig, {"threads": -2}, "threads is -2; it must be at least 0"),
    (
        TrainingConfig,
        {"batch_size": 10, "accumulate": 3},
        "batch_size 10 is not a multiple of accumulate 3",
    ),
    (TrainingConfig, {"dropout": 1.0}, "dropout is 1.0; it must be at least 0 and below 1"),
    (TrainingConfig, {"warmup_share": -0.1}, "warmup_share is -0.1; it must be at least 0 and"),
    (
        TrainingConfig,
        {"warmup_share": 0.7, "decay_share": 0.4},
        "warmup_share 0.7 and decay_share 0.4 together exceed 1",
    ),
    (
        TrainingConfig,
        {"learning_rate": -0.1},
        "learning_rate is -0.1; it must be a finite number above 0",
    ),
    (
        TrainingConfig,
        {"gradient_clip": -1.0},
        "gradient_clip is -1.0; it must be a finite number, at least 0",
    ),
    (TrainingConfig, {"seed": -3}, "seed is -3; it must be at least 0 and below 2^63"),
    (
        ReplyConfig,
        {"temperature": -0.5},
        "temperature is -0.5; it must be a finite number, at least 0",
    ),
    (ReplyConfig, {"top_k": -1}, "top_k is -1; it must be at least 1, or 0 for all"),
    (ReplyConfig, {"top_p": 0.0}, "top_p is 0.0; it must be above 0 and at most 1"),
    (ReplyConfig, {"min_p": 1.5}, "min_p is 1.5; it must be at least 0 and at most 1"),
    (
        ReplyConfig,
        {"repetition_penalty": 0.0},
        "repetition_penalty is 0.0; it must be a finite number above 0",
    ),
    (ReplyConfig, {"max_tokens": 0}, "max_tokens is 0; it must be at least 1"),
    (ReplyConfig, {"seed": 1 << 63}, f"seed is {1 << 63}; it must be at least 0 and below 2^63"),
    (
        ReplyConfig,
        {"stop": ("a", "")},
        "a stop string is empty; every reply would end at once",
    ),
]

# Values of a plain mapping that have no place, or are of the wrong kind.
MISFITS: list[tuple[type, dict[str, Any], str]] = [
    (
        ModelConfig,
        {"n_layer": 2},
        "unknown setting in ModelConfig 'n_layer'; allowed are: vocab_size, ",
    ),
    (ModelConfig, {}, "ModelConfig needs the setting 'vocab_size', which is not given"),
    (ModelConfig, {"vocab_size": 7}, "ModelConfig needs the setting 'd_model', which is not given"),
    (ModelConfig, {"vocab_size": True}, "ModelConfig.vocab_size is True; it must be of type int"),
    (ModelConfig, {"vocab_size": 7.0}, "ModelConfig.vocab_size is 7.0; it must be of type int"),
    (ModelConfig, {"vocab_size": None}, "ModelConfig.vocab_size is None; it must be of type int"),
    (ModelConfig, {"norm_bias": 1}, "ModelConfig.norm_bias is 1; it must be of type bool"),
    (
        ModelConfig,
        {"rotary_base": True},
        "ModelConfig.rotary_base is True; it must be of type",
    ),
    (ModelConfig, {"d_head": "7"}, "ModelConfig.d_head is '7'; it must be of type int"),
    (
        ModelConfig,
        {"sliding_layers": [1.5]},
        "ModelConfig.sliding_layers is 1.5; it must be of",
    ),
    (
        ModelConfig,
        {"rotary_scaling": 8},
        "ModelConfig.rotary_scaling is 8; it must be of type",
    ),
    (
        ModelConfig,
        {"rotary_scaling": {"knd": "yarn"}},
        "unknown setting in RotaryScaling 'knd'; allowed are: kind, ",
    ),
    (ReplyConfig, {"stop": "end"}, "ReplyConfig.stop is 'end'; it must be of type tuple"),
    (ReplyConfig, {"stop": [3]}, "ReplyConfig.stop is 3; it must be of type str"),
    (
        TrainingConfig,
        {"steps": 3, "device": 0},
        "TrainingConfig.device is 0; it must be of type str",
    ),
]


def basics(cls: type) -> dict[str, Any]:
    """What has to be given; d_model 14 can be parted by 2 and 7."""
    return {ModelConfig: {"vocab_size": 11, "d_model": 14}, TrainingConfig: {"steps": 3}}.get(
        cls, {}
    )


@pytest.mark.parametrize(("cls", "values", "message"), REFUSED)
def test_an_impossible_setting_is_refused(cls: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        cls(**basics(cls) | values)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("cls", "values", "message"), MISFITS)
def test_a_value_that_does_not_fit_is_refused(
    cls: Any, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from(cls, values)
    assert str(caught.value).startswith(message)


def test_every_refusal_of_the_module_is_tried_here() -> None:
    path = Path(module.__file__)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    raising = {node.lineno for node in ast.walk(tree) if isinstance(node, ast.Raise)}
    tried = set()
    for cls, values, _ in REFUSED + MISFITS:
        try:
            config_from(cls, (basics(cls) if (cls, values, _) in REFUSED else {}) | values)
        except ConfigError as error:
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            assert trace is not None
            tried.add(trace.tb_lineno)
    assert raising - tried == set(), f"lines of {path.name} that no case here reaches"


@pytest.mark.parametrize(
    ("given", "meant"),
    [("n_layer", "n_layers"), ("rotary_bse", "rotary_base"), ("d_modle", "d_model")],
)
def test_an_unknown_setting_gets_the_nearest_match(given: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"Did you mean '{meant}'\\?$"):
        config_from(ModelConfig, {given: 2})


def through_json(config: Any) -> Any:
    """The config after it was stored and read."""
    return config_from(type(config), json.loads(json.dumps(dataclasses.asdict(config))))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json(name: str) -> None:
    config = preset(name, vocab_size=101, context_length=37, depth=3)
    assert through_json(config) == config
    assert hash(through_json(config)) == hash(config)


@pytest.mark.parametrize(
    "config",
    [
        preset(
            "llama",
            vocab_size=101,
            rotary_scaling=ROTARY,
            sliding_window=5,
            sliding_layers=[0, 2],
            logit_soft_cap=30,
        ),
        TrainingConfig(steps=7, learn="replies", decay_share=0.98),
        ReplyConfig(stop=("\n", "猫"), seed=5, temperature=0.7),
        ReplyConfig(),
    ],
    ids=lambda config: type(config).__name__,
)
def test_nested_settings_and_lists_survive_json(config: Any) -> None:
    assert through_json(config) == config


def test_a_config_cannot_be_changed() -> None:
    config = ReplyConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 3  # type: ignore[misc]


def test_a_whole_number_may_stand_for_a_number() -> None:
    config = config_from(ReplyConfig, {"temperature": 1, "top_p": 1})
    assert config == ReplyConfig(temperature=1.0)
    assert type(config.temperature) is float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Odd:
    """The kinds of fields that config_from has to tell apart."""

    either: float | str = 0.5
    table: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    maybe: bool | None = None
    path: Path = Path("here")


@pytest.mark.parametrize(
    ("values", "made"),
    [
        ({"either": 1}, Odd(either=1.0)),
        ({"either": 0.25}, Odd(either=0.25)),
        ({"either": "other.txt"}, Odd(either="other.txt")),
        ({"table": {"steps": 3}}, Odd(table={"steps": 3})),
        ({"maybe": None}, Odd()),
        ({"maybe": True}, Odd(maybe=True)),
        ({"path": Path("a") / "b"}, Odd(path=Path("a/b"))),
        ({}, Odd()),
    ],
)
def test_unions_tables_and_paths(values: dict[str, Any], made: Odd) -> None:
    found = config_from(Odd, values)
    assert found == made
    assert type(found.either) is type(made.either)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"either": True}, "Odd.either is True; it must be of type str"),
        ({"either": None}, "Odd.either is None; it must be of type str"),
        ({"table": [1]}, "Odd.table is [1]; it must be of type table"),
        ({"maybe": 1}, "Odd.maybe is 1; it must be of type bool"),
        ({"path": "a/b"}, "Odd.path is 'a/b'; it must be of type Path"),
    ],
)
def test_what_no_kind_takes_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from(Odd, values)
    assert str(caught.value) == message


def test_sizes_left_out_are_derived() -> None:
    config = ModelConfig(vocab_size=11, d_model=14, n_heads=7)
    assert (config.n_kv_heads, config.d_head) == (7, 2)
    assert config.d_ff == 64  # 8/3 × 14 = 37.3, rounded up to a multiple of 32
    assert ModelConfig(vocab_size=11, d_model=14, feed_forward="relu").d_ff == 56
    assert ModelConfig(vocab_size=11, d_model=14, feed_forward="none", d_ff=99).ff_width == 0
    assert ModelConfig(vocab_size=11, d_model=12, d_ff=5).ff_width == 5


def test_what_follows_from_the_settings() -> None:
    config = ModelConfig(vocab_size=11, d_model=64, n_heads=4, sliding_window=5, n_layers=3)
    assert config.score_scale == 0.25  # 1/√16
    assert [config.window(layer) for layer in range(3)] == [5, 5, 5]
    some = dataclasses.replace(config, sliding_layers=(1,), scaled_scores=False, norm="none")
    assert [some.window(layer) for layer in range(3)] == [None, 5, None]
    assert some.score_scale == 1.0
    assert (config.final_norm, some.final_norm) == (True, False)
    assert dataclasses.replace(config, norm_placement="after").final_norm is False
    assert (config.gated, dataclasses.replace(config, feed_forward="gelu").gated) == (True, False)


@pytest.mark.parametrize("name", module.__all__)
def test_what_the_module_offers_is_there(name: str) -> None:
    assert hasattr(module, name)


def test_the_learning_rate_follows_the_optimizer_unless_it_is_given() -> None:
    assert TrainingConfig(steps=1).learning_rate == 0.02
    assert TrainingConfig(steps=1, optimizer="adamw").learning_rate == 0.003
    assert TrainingConfig(steps=1, optimizer="adamw", learning_rate=0.5).learning_rate == 0.5


def test_a_whole_number_too_large_for_a_float_is_refused() -> None:
    with pytest.raises(ConfigError, match="temperature is a number of over 300 digits"):
        config_from(ReplyConfig, {"temperature": 10**5000})
