"""Fused against explicit attention on this machine: where `choose_kernel` draws its line.

Run: python benchmarks/attention_kernels.py
"""

from collections.abc import Callable

import torch

from common import alternate, medians, save
from nextword.model.attention import Kernel, attend, make_mask

HEADS, WIDTH = 4, 32
TOKENS_PER_STEP = 4096


def work(keys: int, dtype: torch.dtype, *, backward: bool) -> dict[str, Callable[[], None]]:
    """One attention over TOKENS_PER_STEP tokens in sequences of `keys`, by each kernel."""
    batch = max(1, TOKENS_PER_STEP // keys)
    inputs = [
        torch.randn(batch, keys, HEADS * WIDTH).to(dtype).requires_grad_(backward) for _ in "qkv"
    ]
    upstream = torch.ones(batch, keys, HEADS * WIDTH, dtype=dtype)

    def step(kernel: Kernel) -> None:
        query, key, value = (x.view(batch, keys, HEADS, WIDTH).transpose(1, 2) for x in inputs)
        mask = make_mask(keys, keys, kernel=kernel, dtype=dtype)
        with torch.set_grad_enabled(backward):
            context = attend(query, key, value, kernel=kernel, mask=mask, scale=WIDTH**-0.5)
            if backward:
                context.transpose(1, 2).flatten(2).backward(upstream)  # type: ignore[no-untyped-call]

    return {"fused": lambda: step("fused"), "explicit": lambda: step("explicit")}


def main() -> None:
    """Every length and precision, the two kernels in alternation."""
    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        for backward in (False, True):
            for keys in (32, 64, 128, 256, 512, 1024, 2048):
                runs = work(keys, dtype, backward=backward)
                times = medians(alternate(runs, rounds=15, warmup=3))
                rows.append(
                    {
                        "dtype": str(dtype).removeprefix("torch."),
                        "backward": backward,
                        "keys": keys,
                        "fused ms": times["fused"] * 1e3,
                        "explicit ms": times["explicit"] * 1e3,
                        "explicit / fused": times["explicit"] / times["fused"],
                    }
                )
    save("attention_kernels", command="python benchmarks/attention_kernels.py", rows=rows)


if __name__ == "__main__":
    main()
