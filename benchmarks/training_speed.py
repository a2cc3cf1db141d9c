"""Training speed against transformers' GPT-2 on the same sizes, each in a process of its own.

The processes take turns, A B C A B C …, one block of steps at a time, so drift meets all alike.
Ours trains as `nextword train --preset gpt2 --optimizer adamw` does, in the precision that is the
fastest on this machine. `torch` is the best that torch alone can do with the same model: compiled,
in bfloat16 with explicit attention. The peer is as a user of transformers would write it, in
float32.

Run: python benchmarks/training_speed.py [--rounds 7]
"""

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from common import Worker, save, table
from nextword.config import Precision
from nextword.training.backends.allocator import kept_memory, settled_objects


@dataclass(frozen=True)
class Size:
    """A model and its batch."""

    name: str
    layers: int
    heads: int
    width: int
    context: int
    batch: int
    vocabulary: int
    steps: int  # of one block


SIZES = (
    Size("nanoGPT's CPU recipe", 4, 4, 128, 64, 12, 68, 60),
    Size("GPT-2 124 M", 12, 12, 768, 256, 4, 50257, 2),
)
LEARNING_RATE, CLIP = 1e-3, 1.0
WHO = ("ours", "torch", "peer")  # as nextword train has it, torch's best, and transformers
CANDIDATES: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
SECONDS = 0.5  # of measured steps for each


def ours(size: Size, *, compiled: bool) -> Callable[[], object]:
    """One step of Nextword's trainer on random tokens."""
    from nextword.config import TrainingConfig
    from nextword.presets import preset
    from steps import Step

    config = preset(
        "gpt2",
        vocab_size=size.vocabulary,
        context_length=size.context,
        d_model=size.width,
        n_layers=size.layers,
        n_heads=size.heads,
    )

    def step(precision: Precision) -> Step:
        training = TrainingConfig(
            steps=1, optimizer="adamw", learning_rate=LEARNING_RATE, precision=precision
        )
        return Step(config, batch=size.batch, training=training, compiled=compiled)

    if compiled:
        return step("bfloat16")
    seconds = {name: step(name).seconds(at_least=SECONDS) for name in CANDIDATES}
    fastest = min(seconds, key=lambda name: seconds[name])
    print(f"{size.name}: {fastest}", file=sys.stderr, flush=True)
    return step(fastest)


def peer(size: Size) -> Callable[[], object]:
    """One step of transformers' GPT2LMHeadModel with AdamW on random tokens."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=size.vocabulary,
        n_positions=size.context,
        n_embd=size.width,
        n_layer=size.layers,
        n_head=size.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.1
    )

    def step() -> object:
        ids = torch.randint(0, size.vocabulary, (size.batch, size.context))
        optimizer.zero_grad(set_to_none=True)
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        return loss.item()

    return step


def work(who: str, size: Size) -> None:
    """Wait for a line, take a block of steps, say how many seconds it took; and again."""
    with contextlib.ExitStack() as stack:
        if who != "peer":  # before there are threads, as in `nextword train`
            stack.enter_context(kept_memory())
            stack.enter_context(settled_objects())
        step = peer(size) if who == "peer" else ours(size, compiled=who == "torch")
        for _ in range(2):
            step()
        print("ready", flush=True)
        for _ in sys.stdin:
            start = time.perf_counter()
            for _ in range(size.steps):
                step()
            print(time.perf_counter() - start, flush=True)


def measure(index: int, rounds: int) -> dict[str, object]:
    """Tokens per second of all on one size, and the median ratio of neighbouring blocks."""
    size = SIZES[index]
    workers = {who: Worker([__file__, "--worker", who, "--size", str(index)]) for who in WHO}
    seconds: dict[str, list[float]] = {who: [] for who in workers}
    for _ in range(rounds):
        for who, worker in workers.items():
            seconds[who].append(worker.block())
    for worker in workers.values():
        worker.close()
    tokens = size.steps * size.batch * size.context
    row: dict[str, object] = {"size": size.name, "batch": f"{size.batch} × {size.context}"}
    for who in WHO:
        row[f"{who} tokens/s"] = tokens / statistics.median(seconds[who])
    for other in ("peer", "torch"):
        ratios = [b / a for a, b in zip(seconds["ours"], seconds[other], strict=True)]
        row[f"ours / {other}"] = statistics.median(ratios)
        row[f"ours / {other}, least to most"] = f"{min(ratios):.2f} – {max(ratios):.2f}"
    return row | {"rounds": rounds}


def main() -> None:
    """Measure, or be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--worker", choices=WHO)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--only", type=int, help="measure only this size, and save nothing")
    given = parser.parse_args()
    if given.worker:
        work(given.worker, SIZES[given.size])
        return
    if given.only is not None:
        print(table([measure(given.only, given.rounds)]))
        return
    rows = [measure(index, given.rounds) for index in range(len(SIZES))]
    save("training_speed", command="python benchmarks/training_speed.py", rows=rows)


if __name__ == "__main__":
    main()
