"""nanoGPT's CPU recipe as a user of transformers would write it: the peer of time_to_quality.py.

Its sizes, steps and optimizer are those of nanoGPT's README ("I only have a macbook") and of its
config/train_shakespeare_char.py: 4 layers, 4 heads, width 128, context 64, batch 12, 2000 steps.
In place of nanoGPT's estimates on the way stands one full pass at the end, which takes less time.

Run: python benchmarks/peer_shakespeare.py DATA OUT [--steps 2000]
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from quality import HELD_OUT_SHARE, full_pass

LAYERS, HEADS, WIDTH, CONTEXT, BATCH = 4, 4, 128, 64, 12
RATE, LEAST_RATE, WARM_UP = 1e-3, 1e-4, 100
BETAS, DECAY, CLIP = (0.9, 0.99), 0.1, 1.0
SEED = 1337


def make_model(vocab_size: int) -> Any:
    """A GPT-2 of the recipe's sizes, without dropout."""
    config = GPT2Config(
        vocab_size=vocab_size,
        n_positions=CONTEXT,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config).train()


def make_optimizer(model: Any) -> torch.optim.AdamW:
    """AdamW, with weight decay on matrices only."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": DECAY},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=RATE, betas=BETAS)


def rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to the least rate."""
    if step < WARM_UP:
        return RATE * (step + 1) / (WARM_UP + 1)
    share = (step - WARM_UP) / (steps - WARM_UP)
    return LEAST_RATE + 0.5 * (1 + math.cos(math.pi * share)) * (RATE - LEAST_RATE)


def train(model: Any, ids: torch.Tensor, steps: int) -> None:
    """Learn from random windows."""
    optimizer = make_optimizer(model)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, steps)
        starts = torch.randint(len(ids) - CONTEXT, (BATCH,)).tolist()
        tokens = torch.stack([ids[start : start + CONTEXT] for start in starts])  # [B, T]
        targets = torch.stack([ids[start + 1 : start + CONTEXT + 1] for start in starts])
        optimizer.zero_grad(set_to_none=True)
        logits = model(input_ids=tokens).logits  # [B, T, V]
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)


def finish(model: Any, held_out: Sequence[int], out: Path) -> None:
    """Judge the model and save it."""
    model.eval()
    loss = full_pass(lambda tokens: model(input_ids=tokens).logits, held_out, context=CONTEXT)
    model.save_pretrained(out)
    result = {"held-out loss": loss, "parameters": model.num_parameters()}
    (out / "result.json").write_text(json.dumps(result) + "\n")
    print(f"held-out loss {loss:.4f}")


def main() -> None:
    """From a text to a finished folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    given = parser.parse_args()
    torch.manual_seed(SEED)
    text = given.data.read_text(encoding="utf-8")
    number_of = {letter: number for number, letter in enumerate(sorted(set(text)))}
    ids = [number_of[letter] for letter in text]
    cut = int(len(ids) * (1 - HELD_OUT_SHARE))
    model = make_model(len(number_of))
    train(model, torch.tensor(ids[:cut]), given.steps)
    finish(model, ids[cut:], given.out)


if __name__ == "__main__":
    main()
