"""The first weights of a decoder, before it has learned anything."""

import torch
from torch import nn

from nextword.config import ModelConfig

TIED_STD = 0.02  # a tied embedding is also the unembedding: small, so that logits start near 0
BARE_STD = 0.3  # an embedding that no norm brings to a standard length
UNEMBEDDING_STD = 0.001


@torch.no_grad()
def initialise(decoder: nn.Module, config: ModelConfig, *, seed: int) -> None:
    """Fill every weight of `decoder` from a generator of its own, so one seed gives one model.

    Matrices are drawn with standard deviation 1/sqrt(inputs), which keeps the length of what
    passes through; embeddings with 1 (0.02 when tied). Where there is a norm, matrices that write
    into the residual start at 0, so that each block begins as the identity, and the unembedding
    starts near 0, so that every next word is about equally likely. Token shift starts at 0, too:
    each word is itself alone.

    Where scores are not scaled, long vectors would make the first softmax look at one word only,
    and a saturated softmax passes no gradient on to learn from. So queries start at 0, which
    looks at all words alike, and without a norm the embeddings start small (docs/lab-log.md).
    """
    generator = torch.Generator().manual_seed(seed)
    quiet_start = config.norm != "none"
    at_zero = {"token_shift"} | ({"output", "down"} if quiet_start else set())
    if not config.scaled_scores:
        at_zero.add("query")
    for name, parameter in decoder.named_parameters():
        if parameter.is_meta:
            continue
        part = name.rsplit(".", 2)[-2]
        if name.endswith("bias"):
            parameter.zero_()
        elif part.endswith("norm"):
            parameter.fill_(1.0)
        elif part in ("token_embedding", "position_embedding"):
            std = TIED_STD if config.tied_embeddings else 1.0 if quiet_start else BARE_STD
            parameter.normal_(std=std, generator=generator)
        elif part in at_zero:
            parameter.zero_()
        elif part == "unembedding" and quiet_start:
            parameter.normal_(std=UNEMBEDDING_STD, generator=generator)
        else:
            parameter.normal_(std=parameter.shape[1] ** -0.5, generator=generator)
