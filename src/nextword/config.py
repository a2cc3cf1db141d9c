"""Every setting, as frozen dataclasses, one per owner: model, training, reply.

A setting is checked where it is made: an impossible one raises ConfigError with both numbers.
`config_from` (validation.py) builds any of them from a plain mapping and refuses unknown keys.
"""

import math
from dataclasses import dataclass
from typing import Literal

from nextword.errors import ConfigError
from nextword.validation import above, at_least, check_choices, check_seed, config_from, within

Position = Literal["none", "sinusoidal", "learned", "rotary"]
Norm = Literal["none", "layer", "rms"]
NormPlacement = Literal["before", "after"]
FeedForward = Literal["none", "relu", "relu2", "gelu", "gelu_tanh", "silu", "swiglu", "geglu"]
RotaryScalingKind = Literal["linear", "llama3", "yarn"]

LARGEST_SIZE = 1 << 28  # of a model's widths: the products of two stay far below 2^63
LARGEST_PLACE = (1 << 53) - 1  # of tokens that are only counted: JSON carries it exactly
GATED: tuple[FeedForward, ...] = ("swiglu", "geglu")


@dataclass(frozen=True, kw_only=True)
class RotaryScaling:
    """How rotary angles are stretched for a context longer than the one first trained.

    Sources: linear (arXiv 2306.15595), yarn (arXiv 2309.00071), llama3 (the Llama 3.1 release).
    """

    kind: RotaryScalingKind  # which rule
    factor: float  # new context / original context
    original_context_length: int  # tokens
    low_freq_factor: float = 1.0  # llama3
    high_freq_factor: float = 4.0  # llama3
    beta_fast: float = 32.0  # yarn
    beta_slow: float = 1.0  # yarn
    attention_factor: float | None = None  # yarn: scale of cos and sin; None derives it

    def __post_init__(self) -> None:
        check_choices(self)
        within(self, "factor", 1, math.inf, below=True)
        within(self, "original_context_length", 1, LARGEST_PLACE)
        for name in ("low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow"):
            above(self, name, 0)
        if self.attention_factor is not None:
            above(self, "attention_factor", 0)
        if self.kind == "llama3" and self.high_freq_factor <= self.low_freq_factor:
            raise ConfigError(
                f"high_freq_factor {self.high_freq_factor} must be larger than "
                f"low_freq_factor {self.low_freq_factor}"
            )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """One decoder; every architecture is a choice of these settings.

    Sizes are the design's: vocab_size V, context_length, d_model M, n_layers, n_heads H,
    n_kv_heads K, d_head D, d_ff F. Where a size is None it is derived when the config is made.
    """

    vocab_size: int  # V, tokens in the vocabulary
    d_model: int  # M, the width of a word vector and of the residual
    context_length: int = 256  # tokens that the model can look back on
    n_layers: int = 1  # blocks
    n_heads: int = 1  # H
    n_kv_heads: int | None = None  # K, key/value heads; None: n_heads
    d_head: int | None = None  # D, the width of a head; None: d_model / n_heads
    d_ff: int | None = None  # F; None: 4 d_model, or 8/3 d_model rounded up to 32 when gated

    position: Position = "rotary"  # how a token's place is told
    rotary_base: float = 10000.0  # the slowest pair of dimensions turns 1/base as fast as the first
    rotary_scaling: RotaryScaling | None = None  # for a context longer than the one first trained
    token_shift: int = 0  # earlier words whose own vectors are mixed into each word's; 0: none
    norm: Norm = "rms"  # what brings the residual to a standard length
    norm_placement: NormPlacement = "before"  # before each sublayer, or after it and its residual
    norm_epsilon: float = 1e-6  # keeps a norm from dividing by zero
    scaled_scores: bool = True  # scores / sqrt(d_head)
    output_projection: bool = True  # a matrix between the heads' contexts and the residual
    query_key_norm: bool = False  # queries and keys brought to a standard length
    sliding_window: int | None = None  # tokens a position looks back on, itself included
    sliding_layers: tuple[int, ...] | None = None  # None: every layer, if there is a window
    attention_soft_cap: float | None = None  # scores stay within ± this
    logit_soft_cap: float | None = None  # logits stay within ± this
    feed_forward: FeedForward = "swiglu"  # none, an activation, or a gated one
    attention_bias: bool = False  # of query, key and value
    output_bias: bool = False  # of attention's output projection
    feed_forward_bias: bool = False  # of the feed-forward's matrices
    norm_bias: bool = True  # of layer norm only; rms norm has none
    unembedding_bias: bool = False  # of the fully connected layer
    tied_embeddings: bool = False  # unembedding and token embedding are one matrix

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("vocab_size", "d_model", "n_heads"):
            within(self, name, 1, LARGEST_SIZE)
        for name in ("n_layers", "token_shift"):
            within(self, name, 0, LARGEST_SIZE)
        for name in ("n_kv_heads", "d_head", "d_ff"):
            if getattr(self, name) is not None:
                within(self, name, 1, LARGEST_SIZE)
        largest = LARGEST_SIZE if self.position == "learned" else LARGEST_PLACE
        within(self, "context_length", 1, largest)
        above(self, "rotary_base", 0)
        within(self, "norm_epsilon", 0, 1, below=True)
        self._derive_sizes()
        self._check_heads()
        self._check_options()

    @property
    def kv_heads(self) -> int:
        """K, the number of key/value heads."""
        return self.n_heads if self.n_kv_heads is None else self.n_kv_heads

    @property
    def head_width(self) -> int:
        """D, the width of one head."""
        return self.d_model // self.n_heads if self.d_head is None else self.d_head

    @property
    def ff_width(self) -> int:
        """F, the width inside the feed-forward; 0 without one."""
        return self.d_ff or 0

    @property
    def gated(self) -> bool:
        """Whether the feed-forward multiplies by a gate (swiglu, geglu)."""
        return self.feed_forward in GATED

    @property
    def final_norm(self) -> bool:
        """Whether the residual is normed once more before the unembedding."""
        return self.norm != "none" and self.norm_placement == "before"

    @property
    def score_scale(self) -> float:
        """What query·key is multiplied by: 1, or 1/sqrt(d_head)."""
        return float(self.head_width**-0.5) if self.scaled_scores else 1.0

    def window(self, layer: int) -> int | None:
        """How many tokens `layer` looks back on, itself included; None for all."""
        if self.sliding_layers is not None and layer not in self.sliding_layers:
            return None
        return self.sliding_window

    def _derive_sizes(self) -> None:
        if self.n_kv_heads is None:
            object.__setattr__(self, "n_kv_heads", self.n_heads)
        if self.d_head is None:
            if self.d_model % self.n_heads:
                raise ConfigError(
                    f"d_model {self.d_model} is not a multiple of n_heads {self.n_heads}; "
                    "change one of them or give d_head"
                )
            object.__setattr__(self, "d_head", self.d_model // self.n_heads)
        if self.feed_forward == "none":
            object.__setattr__(self, "d_ff", None)
        elif self.d_ff is None:
            gated_width = -(-8 * self.d_model // 3 // 32) * 32
            object.__setattr__(self, "d_ff", gated_width if self.gated else 4 * self.d_model)

    def _check_heads(self) -> None:
        if self.kv_heads < 1 or self.n_heads % self.kv_heads:
            raise ConfigError(
                f"n_heads {self.n_heads} is not a multiple of n_kv_heads {self.kv_heads}; "
                "every key/value head serves the same number of heads"
            )
        joined = self.n_heads * self.head_width
        if joined > LARGEST_SIZE:
            raise ConfigError(
                f"n_heads × d_head is {joined}; it must be at most {LARGEST_SIZE}: give fewer or "
                "narrower heads"
            )
        if not self.output_projection and joined != self.d_model:
            raise ConfigError(
                f"without an output projection n_heads × d_head = {joined} must equal "
                f"d_model {self.d_model}: the context is added to the residual as it is"
            )
        if self.position == "rotary" and self.head_width % 2:
            raise ConfigError(f"rotary position needs an even d_head; it is {self.head_width}")

    def _check_options(self) -> None:
        if self.rotary_scaling is not None and self.position != "rotary":
            raise ConfigError(
                f"rotary_scaling is given but position is {self.position!r}; it must be 'rotary'"
            )
        if self.output_bias and not self.output_projection:
            raise ConfigError("output_bias needs output_projection = true")
        if self.tied_embeddings and self.unembedding_bias:
            raise ConfigError("tied_embeddings leave no room for unembedding_bias")
        if self.sliding_window is not None:
            within(self, "sliding_window", 1, LARGEST_PLACE)
        if self.sliding_layers is not None:
            if self.sliding_window is None:
                raise ConfigError("sliding_layers are given without a sliding_window")
            wrong = [layer for layer in self.sliding_layers if not 0 <= layer < self.n_layers]
            if wrong:
                raise ConfigError(
                    f"sliding_layers names layer {wrong[0]}, but there are {self.n_layers} layers "
                    f"(0 to {self.n_layers - 1})"
                )
        for name in ("attention_soft_cap", "logit_soft_cap"):
            if getattr(self, name) is not None:
                above(self, name, 0)


Precision = Literal["auto", "float32", "bfloat16", "int16", "int8"]
Learn = Literal["everything", "replies"]
Aim = Literal["answers", "generalize"]
Optimizer = Literal["muon", "adamw"]
Compile = Literal["auto", "yes", "no"]

RATES: dict[Optimizer, float] = {"muon": 2e-2, "adamw": 3e-3}  # of AdamW beside Muon, or alone


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a decoder learns. The number of steps is the budget; everything else has a default."""

    steps: int  # of the optimizer
    batch_size: int = 16  # sequences per optimizer step
    accumulate: int = 1  # the batch is worked through in this many parts
    optimizer: Optimizer = "muon"  # of the blocks' matrices; AdamW has the rest
    learning_rate: float = 0.0  # of AdamW; 0: 0.02 beside Muon, 0.003 alone
    muon_learning_rate: float = 4e-2  # of Muon
    momentum: float = 0.9  # of Muon
    beta1: float = 0.9  # of AdamW: memory of the gradient
    beta2: float = 0.95  # of AdamW: memory of its square
    weight_decay: float = 0.1  # of the blocks' matrices, per step and learning rate
    warmup_share: float = 0.02  # of the steps, learning rate rising from 0
    decay_share: float = 0.9  # of the steps, learning rate falling to 0
    gradient_clip: float = 1.0  # largest norm of the whole gradient; 0: no clipping
    dropout: float = 0.0  # share of activations and attention weights; data seen often: 0.2
    label_smoothing: float = 0.0  # share of what is wanted for all words; data seen often: 0.1
    learn: Learn = "everything"  # every next word, or those of replies only
    talks: float = 0.5  # of the rows of dialogues in which later ones see earlier ones, as in chat
    precision: Precision = "auto"  # of matrix products; weights stay float32 (docs/precision.md)
    compile: Compile = "auto"  # by torch.compile; auto: where it earns its own time
    device: str = "auto"  # cpu, cuda, mps, or the best of them
    threads: int = 0  # 0: as many as the machine has cores
    seed: int = 0  # of first weights, order and dropout
    evaluate_every: int = 0  # steps; 0: derived from the budget
    checkpoint_every: int = 0  # steps; 0: derived from the budget
    sample_every: int = 0  # steps; 0: derived from the budget

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("steps", "batch_size", "accumulate"):
            at_least(self, name, 1)
        for name in ("threads", "evaluate_every", "checkpoint_every", "sample_every"):
            at_least(self, name, 0)
        if self.batch_size % self.accumulate:
            raise ConfigError(
                f"batch_size {self.batch_size} is not a multiple of accumulate {self.accumulate}"
            )
        for name in ("warmup_share", "decay_share", "talks"):
            within(self, name, 0, 1)
        for name in ("dropout", "label_smoothing", "momentum", "beta1", "beta2"):
            within(self, name, 0, 1, below=True)
        if self.warmup_share + self.decay_share > 1:
            raise ConfigError(
                f"warmup_share {self.warmup_share} and decay_share {self.decay_share} "
                "together exceed 1"
            )
        if self.learning_rate == 0:
            object.__setattr__(self, "learning_rate", RATES[self.optimizer])
        for name in ("learning_rate", "muon_learning_rate"):
            above(self, name, 0)
        for name in ("weight_decay", "gradient_clip"):
            within(self, name, 0, math.inf, below=True)
        check_seed(self.seed)


@dataclass(frozen=True, kw_only=True)
class ReplyConfig:
    """How the next token is chosen from the probabilities, and when a reply ends.

    The order of application: repetition penalty, temperature, top-k, top-p, min-p, draw.
    """

    temperature: float = 0.0  # 0: always the most probable token
    top_k: int = 0  # keep the k most probable; 0: all
    top_p: float = 1.0  # keep the smallest set whose probability reaches p
    min_p: float = 0.0  # keep tokens with at least this share of the best one's probability
    repetition_penalty: float = 1.0  # 1: none (arXiv 1909.05858)
    seed: int | None = None  # None: a fresh one for each reply
    stop: tuple[str, ...] = ()  # the reply ends before the first of these strings
    max_tokens: int | None = None  # None: until the context window is full

    def __post_init__(self) -> None:
        within(self, "temperature", 0, math.inf, below=True)
        if self.top_k < 0:
            raise ConfigError(f"top_k is {self.top_k}; it must be at least 1, or 0 for all")
        at_least(self, "top_k", 0)
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}; it must be above 0 and at most 1")
        within(self, "min_p", 0, 1)
        above(self, "repetition_penalty", 0)
        if self.max_tokens is not None:
            at_least(self, "max_tokens", 1)
        if self.seed is not None:
            check_seed(self.seed)
        if any(not text for text in self.stop):
            raise ConfigError("a stop string is empty; every reply would end at once")


__all__ = [
    "GATED",
    "Aim",
    "Compile",
    "FeedForward",
    "Learn",
    "ModelConfig",
    "Norm",
    "NormPlacement",
    "Optimizer",
    "Position",
    "Precision",
    "ReplyConfig",
    "RotaryScaling",
    "RotaryScalingKind",
    "TrainingConfig",
    "config_from",
]
