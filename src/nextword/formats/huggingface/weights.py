"""A decoder's weights in a folder: one .safetensors file, or shards with an index; both ways.

Every tensor passes through memory once, so a model takes its own size and one tensor more.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from nextword.common.files import read_json, write_json
from nextword.common.folder_layout import INDEX, WEIGHTS
from nextword.config import ModelConfig
from nextword.errors import FolderError
from nextword.formats.huggingface.families import family_of
from nextword.formats.huggingface.safetensors_io import (
    Entry,
    ToWrite,
    check_dtype,
    read_header,
    read_tensors,
    write_tensors,
)
from nextword.formats.huggingface.weight_names import (
    UNEMBEDDING,
    Shape,
    Stored,
    match,
    stored_tensors,
)
from nextword.model import Decoder
from nextword.model.positions import rotary_rates

PLAIN_NAME = re.compile(r"\w[\w.\-]*\.safetensors")  # a file beside the index, nowhere else
TOKEN_EMBEDDING, BLOCK = "token_embedding.weight", "blocks.0."


def write_weights(
    folder: Path, decoder: Decoder, *, dtype: torch.dtype | None, shard_bytes: int
) -> dict[str, str]:
    """Write the weights, in shards if they are large; returns the SHA-256 of each file."""
    parameters = dict(decoder.named_parameters())
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    family = family_of(decoder.config)
    tensors = [
        _to_write(stored, parameters, dtype) for stored in stored_tensors(family, shapes).values()
    ]
    shards = _in_shards(tensors, shard_bytes)
    if len(shards) == 1:
        return {WEIGHTS: write_tensors(folder / WEIGHTS, tensors)}
    names = [
        f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)
    ]
    places = {item.name: name for name, shard in zip(names, shards, strict=True) for item in shard}
    total = sum(item.n_bytes for item in tensors)
    write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": places})
    return {
        name: write_tensors(folder / name, shard) for name, shard in zip(names, shards, strict=True)
    }


def _to_write(
    stored: Stored, parameters: Mapping[str, Tensor], dtype: torch.dtype | None
) -> ToWrite:
    kept = parameters[stored.ours[0]].dtype
    return ToWrite(stored.name, dtype or kept, stored.shape, lambda: stored.join(parameters))


def _in_shards(tensors: list[ToWrite], shard_bytes: int) -> list[list[ToWrite]]:
    """The tensors in their order, in runs of at most `shard_bytes`, or of one larger tensor."""
    shards: list[list[ToWrite]] = [[]]
    filled = 0
    for item in tensors:
        if shards[-1] and filled + item.n_bytes > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(item)
        filled += item.n_bytes
    return shards


def weight_files(root: Path) -> list[Path]:
    """The files with the weights.

    Raises:
        FolderError: the index is damaged, names a file elsewhere, or one that is missing.
    """
    if not (root / INDEX).exists():
        return [root / WEIGHTS]
    content = read_json(root / INDEX)
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not places:
        raise FolderError(f"{root / INDEX} has no weight_map, which says what is in which file")
    names = sorted(set(map(str, places.values())))
    for name in names:
        if not PLAIN_NAME.fullmatch(name):
            raise FolderError(
                f"{root / INDEX} names the file {name!r}; only .safetensors files beside it are"
                f" read"
            )
        if not (root / name).exists() and not (root / name).is_symlink():
            raise FolderError(f"{root / name} is missing; {INDEX} names {len(names)} such files")
    return [root / name for name in names]


def read_decoder(
    config: ModelConfig,
    family: str,
    files: list[Path],
    *,
    sums: Mapping[str, str],
    dtype: torch.dtype | None,
    device: torch.device,
) -> Decoder:
    """A decoder with the weights of `files`.

    It is built without memory, so that nothing is drawn only to be overwritten.

    Args:
        config, family: from config.json.
        files: the .safetensors files.
        sums: the SHA-256 that a file must have, by its name, where that is known.
        dtype: of the weights; None: each as it is stored.
        device: where they go.

    Raises:
        FolderError: a file is damaged, or the weights are not those of `config`.
    """
    shapes = parameter_shapes(config)
    if config.tied_embeddings:
        shapes[UNEMBEDDING] = shapes[TOKEN_EMBEDDING]  # some write it twice
    wanted = stored_tensors(family, shapes)
    found = _entries_in(files)
    known = match(
        family,
        wanted,
        {name: entry.shape for name, (_, entry) in found.items()},
        optional=_twice(config),
        where=str(files[0].parent),
    )
    for name in known:
        check_dtype(*found[name])
    _check_rotary(config)
    with torch.device("meta"):
        decoder = Decoder(config)
    unembedding = None
    for path in files:
        for name, tensor in read_tensors(path, sha256=sums.get(path.name), wanted=known):
            for ours, part in known[name].split(tensor).items():
                weight = part.to(device, dtype or _kept(part.dtype, device))
                if config.tied_embeddings and ours == UNEMBEDDING:
                    unembedding = weight
                else:
                    _set(decoder, ours, weight)
    if config.tied_embeddings:
        _tie(decoder, unembedding)
    decoder.compute_dtype = decoder.token_embedding.weight.dtype
    return decoder


def _twice(config: ModelConfig) -> frozenset[str]:
    """Our parameters that a file may leave out, because another one says the same."""
    return frozenset({UNEMBEDDING} if config.tied_embeddings else ())


def parameter_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Return the shape of every parameter of a decoder, in its order, tied ones once.

    One block is built, without memory, and stands for all: ten thousand take no time.
    """
    with torch.device("meta"):
        one = Decoder(
            dataclasses.replace(config, n_layers=min(config.n_layers, 1), sliding_layers=None)
        )
    shapes: dict[str, Shape] = {}
    block: dict[str, Shape] = {}
    after: dict[str, Shape] = {}
    for name, item in one.named_parameters():
        if name.startswith(BLOCK):
            block[name.removeprefix(BLOCK)] = tuple(item.shape)
        else:
            (after if block else shapes)[name] = tuple(item.shape)
    for layer in range(config.n_layers):
        shapes |= {f"blocks.{layer}.{name}": shape for name, shape in block.items()}
    return shapes | after


def _check_rotary(config: ModelConfig) -> None:
    """Refuse rotary settings whose angles are no numbers.

    Raises:
        FolderError: they cannot be computed, or are not finite.
    """
    if config.position != "rotary":
        return
    try:
        rates, scale = rotary_rates(config)
        possible = bool(rates.isfinite().all()) and math.isfinite(scale)
    except (ArithmeticError, ValueError, RuntimeError):
        possible = False
    if not possible:
        raise FolderError(
            f"config.json describes an impossible rotary position: base {config.rotary_base}, "
            f"scaling {config.rotary_scaling}"
        )


def _entries_in(files: list[Path]) -> dict[str, tuple[Path, Entry]]:
    """Return every tensor of the files, with the file that holds it.

    Raises:
        FolderError: a file is damaged, or two hold the same tensor.
    """
    found: dict[str, tuple[Path, Entry]] = {}
    for path in files:
        for entry in read_header(path):
            if entry.name in found:
                raise FolderError(f"{path} holds {entry.name}, and so does another file beside it")
            found[entry.name] = path, entry
    return found


def _kept(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """What weights stored as `dtype` are kept in: the same, but a CPU has no fast float16."""
    slow = dtype == torch.float16 and device.type == "cpu"
    return torch.float32 if slow else dtype


def _set(decoder: Decoder, name: str, weight: Tensor) -> None:
    """Put a tensor in the place of a parameter that has no memory yet."""
    path, _, leaf = name.rpartition(".")
    decoder.get_submodule(path).register_parameter(leaf, nn.Parameter(weight))


def _tie(decoder: Decoder, unembedding: Tensor | None) -> None:
    """Make the unembedding the token embedding.

    Raises:
        FolderError: the files hold both, and they differ.
    """
    embedding = decoder.token_embedding.weight
    if unembedding is not None and not torch.equal(unembedding, embedding):
        raise FolderError(
            "config.json says tie_word_embeddings, but the files hold an unembedding that differs "
            'from the token embedding; set "tie_word_embeddings": false in config.json to keep both'
        )
    decoder.unembedding.weight = embedding
