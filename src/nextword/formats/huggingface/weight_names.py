"""What each family calls the weights, and how it lays them out in a file.

Our names are those of `Decoder.named_parameters()`. Llama and its descendants rename only; GPT-2
also stores its matrices [in, out] (a "Conv1D") and query, key and value as one.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nextword.errors import FolderError

Shape = tuple[int, ...]
SHOWN = 4  # names in one message
UNEMBEDDING = "unembedding.weight"
COMPILED, PARALLEL = "_orig_mod.", "module."  # before names, from torch.compile and DataParallel

_LLAMA = {
    "token_embedding": "model.embed_tokens",
    "blocks.{}.attention_norm": "model.layers.{}.input_layernorm",
    "blocks.{}.attention.query": "model.layers.{}.self_attn.q_proj",
    "blocks.{}.attention.key": "model.layers.{}.self_attn.k_proj",
    "blocks.{}.attention.value": "model.layers.{}.self_attn.v_proj",
    "blocks.{}.attention.output": "model.layers.{}.self_attn.o_proj",
    "blocks.{}.attention.query_norm": "model.layers.{}.self_attn.q_norm",
    "blocks.{}.attention.key_norm": "model.layers.{}.self_attn.k_norm",
    "blocks.{}.feed_forward_norm": "model.layers.{}.post_attention_layernorm",
    "blocks.{}.feed_forward.gate": "model.layers.{}.mlp.gate_proj",
    "blocks.{}.feed_forward.up": "model.layers.{}.mlp.up_proj",
    "blocks.{}.feed_forward.down": "model.layers.{}.mlp.down_proj",
    "final_norm": "model.norm",
    "unembedding": "lm_head",
}
_GPT2 = {
    "token_embedding": "transformer.wte",
    "position_embedding": "transformer.wpe",
    "blocks.{}.attention_norm": "transformer.h.{}.ln_1",
    "blocks.{}.attention.query": "transformer.h.{}.attn.c_attn",
    "blocks.{}.attention.key": "transformer.h.{}.attn.c_attn",
    "blocks.{}.attention.value": "transformer.h.{}.attn.c_attn",
    "blocks.{}.attention.output": "transformer.h.{}.attn.c_proj",
    "blocks.{}.feed_forward_norm": "transformer.h.{}.ln_2",
    "blocks.{}.feed_forward.up": "transformer.h.{}.mlp.c_fc",
    "blocks.{}.feed_forward.down": "transformer.h.{}.mlp.c_proj",
    "final_norm": "transformer.ln_f",
    "unembedding": "lm_head",
}


@dataclass(frozen=True)
class Names:
    """One family's names.

    Attributes:
        modules: our module → theirs; `{}` is the block. Several of ours under one of theirs are
            stored as one, in this order. None: the names are ours.
        prefix: what checkpoints of the bare stack leave out.
        transposed: their matrices that are stored [in, out].
        ignored: their tensors that hold nothing learned.
    """

    modules: Mapping[str, str] | None = None
    prefix: str = ""
    transposed: re.Pattern[str] = re.compile(r"(?!)")  # none
    ignored: re.Pattern[str] = re.compile(r"(?!)")

    def theirs(self, name: str) -> str:
        """The family's name of our parameter `name`."""
        if self.modules is None:
            return name
        module, _, kind = name.rpartition(".")
        block = re.search(r"\d+", module)
        renamed = self.modules[re.sub(r"\d+", "{}", module)]
        return f"{renamed.format(block[0] if block else '')}.{kind}"

    def full(self, found: Iterable[str]) -> dict[str, str]:
        """Return the family's name of each name found in a file.

        torch.compile and parallel training put prefixes to names, which say nothing and go; the
        checkpoint of a bare stack leaves out the family's prefix.
        """
        plain = {name: name.replace(COMPILED, "").removeprefix(PARALLEL) for name in found}
        if not self.prefix or any(name.startswith(self.prefix) for name in plain.values()):
            return plain
        return {
            name: said if said.startswith("lm_head.") else self.prefix + said
            for name, said in plain.items()
        }


_ROTARY = Names(_LLAMA, prefix="model.", ignored=re.compile(r".*\.rotary_emb\.inv_freq"))
NAMES: dict[str, Names] = {
    "llama": _ROTARY,
    "qwen3": _ROTARY,
    "qwen2": _ROTARY,
    "mistral": _ROTARY,
    "gpt2": Names(
        _GPT2,
        prefix="transformer.",
        transposed=re.compile(r".*\.c_(attn|proj|fc)\.weight"),
        ignored=re.compile(r".*\.attn\.(bias|masked_bias)"),
    ),
    "nextword": Names(),
}


@dataclass(frozen=True)
class Stored:
    """One tensor of a file: which of our parameters it holds, and how.

    Attributes:
        name: the family's.
        ours: our parameters in it, side by side along their first dimension.
        sizes: the first dimension of each.
        shape: in the file.
        transposed: whether the file has [in, out].
    """

    name: str
    ours: tuple[str, ...]
    sizes: tuple[int, ...]
    shape: Shape
    transposed: bool

    def join(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """What the file holds, from our parameters."""
        parts = [parameters[name].detach() for name in self.ours]
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        return whole.T if self.transposed else whole

    def split(self, tensor: Tensor) -> dict[str, Tensor]:
        """Our parameters, from what the file holds; each with memory of its own."""
        whole = tensor.T if self.transposed else tensor
        if len(self.ours) == 1:
            return {self.ours[0]: whole.contiguous()}
        parts = torch.split(whole, list(self.sizes))
        return {
            name: part.clone(memory_format=torch.contiguous_format)
            for name, part in zip(self.ours, parts, strict=True)
        }


def stored_tensors(family: str, shapes: Mapping[str, Shape]) -> dict[str, Stored]:
    """Every tensor of a file of this family, by its name there.

    Args:
        family: a key of `NAMES`.
        shapes: of each of our parameters.
    """
    names = NAMES[family]
    together: dict[str, list[str]] = {}
    for ours in shapes:
        together.setdefault(names.theirs(ours), []).append(ours)
    return {name: _stored(names, name, ours, shapes) for name, ours in together.items()}


def _stored(names: Names, name: str, ours: list[str], shapes: Mapping[str, Shape]) -> Stored:
    sizes = tuple(shapes[our][0] for our in ours)
    shape = (sum(sizes), *shapes[ours[0]][1:])
    transposed = names.transposed.fullmatch(name) is not None
    return Stored(name, tuple(ours), sizes, shape[::-1] if transposed else shape, transposed)


def match(
    family: str,
    wanted: Mapping[str, Stored],
    found: Mapping[str, Shape],
    *,
    optional: frozenset[str] = frozenset(),
    where: str,
) -> dict[str, Stored]:
    """Which stored tensor each name found in a file is; names of nothing learned are left out.

    Args:
        family: a key of `NAMES`.
        wanted: by the family's names.
        found: the shape of each tensor in the files.
        optional: our parameters that may be absent.
        where: the folder, for the message.

    Raises:
        FolderError: tensors are missing, unexpected, or of other shapes; names the first few.
    """
    names = NAMES[family]
    full = names.full(found)
    known = {name: wanted[theirs] for name, theirs in full.items() if theirs in wanted}
    named = set(full.values())
    missing = [
        name
        for name, stored in wanted.items()
        if name not in named and not optional.issuperset(stored.ours)
    ]
    unexpected = [
        name
        for name, theirs in full.items()
        if theirs not in wanted and not names.ignored.fullmatch(theirs)
    ]
    mis_shaped = [
        f"{name} is {_sizes(found[name])} where config.json asks for {_sizes(stored.shape)}"
        for name, stored in known.items()
        if found[name] != stored.shape
    ]
    if [wanted[name].ours for name in missing] == [(UNEMBEDDING,)] and not unexpected:
        raise FolderError(_no_unembedding(missing[0], family, where))
    problems = {
        "missing": missing,
        "unexpected": unexpected,
        "of another shape": mis_shaped,
        "there twice": _twice(known),
    }
    if any(problems.values()):
        raise FolderError(
            f"the weights in {where} do not fit its config.json (family {family}): "
            f"{_listed(problems)}. Weights and config.json must come from the same model"
        )
    return known


def _no_unembedding(name: str, family: str, where: str) -> str:
    """Return the message for weights that lack the unembedding and are not to be tied."""
    key = "tied_embeddings" if family == "nextword" else "tie_word_embeddings"
    return (
        f"the weights in {where} lack {name}, and {key} is false in config.json (or is not there, "
        f'which means the same to {family}). If the model is a tied one, set "{key}": true in '
        f"config.json; else get the file that holds {name}"
    )


def _twice(known: Mapping[str, Stored]) -> list[str]:
    """Return the names found in the files that stand for a tensor which has another name too."""
    first: dict[str, str] = {}
    return [name for name, stored in known.items() if first.setdefault(stored.name, name) != name]


def _listed(problems: Mapping[str, list[str]]) -> str:
    """Return the first few names of each kind of problem."""
    return "; ".join(
        f"{len(items)} {what}: {', '.join(items[:SHOWN])}{', …' if len(items) > SHOWN else ''}"
        for what, items in problems.items()
        if items
    )


def _sizes(shape: Iterable[int]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
