"""On one CUDA GPU: time to nanoGPT's quality, and the share of the peak at GPT-2's 124 M.

    quality   10.7 M parameters (6 layers, 6 heads, width 384, context 256), tiny Shakespeare by
              characters, to held-out ≤ 1.4697: seconds of training, and of the whole process
    speed     GPT-2's 124 M on synthetic tokens, 8 × 1024 and up: tokens/s, share of the measured
              bfloat16 matrix peak

Run: python benchmarks/gpu.py [--data FILE]; --tiny tries the program on any machine
"""

import argparse
from pathlib import Path
from typing import Any

import torch

from common import DATA, save, table, train_whole
from nextword.config import ModelConfig
from nextword.hardware import matrix_peak
from nextword.presets import preset
from nextword.training.backends.data_parallel import flops_per_token
from nextword.training.backends.precision import peak_of
from quality import folder_loss
from steps import Step, gpt2_124m

WANTED_LOSS, WANTED_SECONDS, WANTED_SHARE = 1.4697, 15.0, 0.55
SHAKESPEARE = (
    "train {data} --tokenizer characters --no-tensorboard --device {device} "
    "--layers 6 --heads 6 --width 384 --context 256"
)
BUDGET = "--batch 64 --steps 600 --dropout 0.1"
BATCHES = (8, 16, 32, 64)  # sequences of 1024 tokens
TINY = "--layers 1 --heads 1 --width 32 --context 32 --batch 4 --steps 5"


def quality(data: Path, out: Path, *, device: str, tiny: bool) -> dict[str, Any]:
    """Learn Shakespeare in a process of its own; its folder is judged anew by a full pass."""
    budget = TINY if tiny else BUDGET
    command = f"{SHAKESPEARE} {budget}".format(data=data, device=device)
    seconds, summary = train_whole(command, out)
    loss, parameters = folder_loss(out, data)
    reached = loss <= WANTED_LOSS and summary["seconds"] <= WANTED_SECONDS
    return {
        "what": "tiny Shakespeare",
        "parameters": parameters,
        "batch": budget,
        "tokens/s": "–",
        "share of peak": "–",
        "held-out loss": loss,
        "seconds of training": summary["seconds"],
        "seconds, whole process": seconds,
        "reached": reached,
    }


def speed(config: ModelConfig, batch: int, *, device: str, compiled: bool) -> dict[str, Any]:
    """Steps on synthetic tokens, against the peak that a matrix product reaches here."""
    step = Step(config, batch=batch, device=device, compiled=compiled)
    tokens = step.tokens / step.seconds(at_least=5.0 if step.device.type == "cuda" else 0.2)
    flops = flops_per_token(step.decoder, config.context_length)
    share = tokens * flops / peak_of(step.decoder)
    return {
        "what": f"GPT-2's sizes, {'compiled' if compiled else 'eager'}",
        "parameters": step.decoder.n_parameters,
        "batch": f"{batch} × {config.context_length}",
        "tokens/s": tokens,
        "share of peak": share,
        "held-out loss": "–",
        "seconds of training": "–",
        "seconds, whole process": "–",
        "reached": share >= WANTED_SHARE,
    }


def peak(device: str) -> dict[str, Any]:
    """The measured bfloat16 peak as a line of the table."""
    found = matrix_peak(torch.device(device), torch.bfloat16)
    names = ("parameters", "batch", "tokens/s", "share of peak", "held-out loss")
    none = dict.fromkeys((*names, "seconds of training", "seconds, whole process"), "–")
    return {"what": f"bfloat16 matrix peak: {found / 1e12:.4g} TFLOP/s"} | none | {"reached": "–"}


def measure(given: argparse.Namespace, device: str) -> list[dict[str, Any]]:
    """The peak, the quality, and the speed at every batch that fits, eager and compiled."""
    sizes = {"d_model": 32, "n_layers": 1}
    small = preset("gpt2", vocab_size=67, context_length=32, **sizes)
    config = small if given.tiny else gpt2_124m(context=1024)
    rows = [peak(device), quality(given.data, given.out, device=device, tiny=given.tiny)]
    for batch in BATCHES[:1] if given.tiny else BATCHES:
        for compiled in (False,) if given.tiny else (False, True):
            try:
                rows.append(speed(config, batch, device=device, compiled=compiled))
            except torch.OutOfMemoryError:
                print(f"{batch} sequences do not fit into the GPU's memory, compiled: {compiled}")
    return rows


def main() -> None:
    """Measure where there is a GPU; elsewhere say so, which is no failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA / "tinyshakespeare.txt")
    parser.add_argument("--out", type=Path, default=Path("out/bench/gpu"))
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, any device; save nothing")
    given = parser.parse_args()
    if given.tiny:
        print(table(measure(given, "cuda" if torch.cuda.is_available() else "cpu")))
    elif torch.cuda.is_available():
        save("gpu", command="python benchmarks/gpu.py", rows=measure(given, "cuda"))
    else:
        print("There is no CUDA device here, so nothing was measured.")


if __name__ == "__main__":
    main()
