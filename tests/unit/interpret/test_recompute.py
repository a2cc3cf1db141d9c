"""A row worked out for itself is the row of the whole forward."""

import pytest
import torch
from tests.parity.grid import GRID, config_of
from tests.parity.test_forwards import loud, sentence

from nextword.interpret import forward, points_of, recompute, record

TOKENS = 13


def everything(row: str) -> dict[str, torch.Tensor]:
    """All values of the forward of a model of the grid."""
    config, found = config_of(row), {}

    def tap(name: str, value: torch.Tensor) -> torch.Tensor:
        found[name] = value.detach()
        return value

    forward(loud(config), sentence(config, tokens=TOKENS), tap)
    return found


@pytest.mark.parametrize("row", GRID)
def test_every_row_and_every_whole_value_are_the_forwards(row: str) -> None:
    config, wanted = config_of(row), everything(row)
    trace = record(loud(config), sentence(config, tokens=TOKENS), keep=())
    assert trace.values == {}
    for name, point in points_of(config).items():
        value = wanted[name]
        size = max(1.0, value[value.isfinite()].abs().max().item())
        torch.testing.assert_close(trace[name], value, rtol=1e-6, atol=1e-6 * size, msg=name)
        for position in (0, 5, TOKENS - 1):
            axis = 1 if point.shape[0] in "HK" else 0
            found = trace.row(name, position)
            torch.testing.assert_close(
                found, value.select(axis, position), rtol=1e-6, atol=1e-6 * size, msg=name
            )


@pytest.mark.parametrize("row", ["llama", "qwen3", "soft cap in a window"])
def test_a_few_heads_at_a_time_make_the_same(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config, wanted = config_of(row), everything(row)
    monkeypatch.setattr(recompute, "GROUP_BYTES", 2 * 4 * TOKENS * TOKENS)  # two heads
    names = [name for name in points_of(config) if name.startswith("blocks.")]
    ids = sentence(config, tokens=TOKENS)
    kept, computed = record(loud(config), ids, keep=names), record(loud(config), ids, keep=())
    for name in names:
        for trace in (kept, computed):
            torch.testing.assert_close(trace[name], wanted[name], rtol=1e-6, atol=1e-6, msg=name)


def test_the_basis_is_all_that_is_held() -> None:
    config = config_of("llama")  # 2 layers, M 23, H 6, K 2, D 14
    trace = record(loud(config), sentence(config, tokens=TOKENS), keep=())
    numbers = 2 * TOKENS * (23 + 6 * 14 + 2 * 2 * 14) + TOKENS * 23
    assert trace.n_bytes == 4 * numbers
    with_logits = record(loud(config), sentence(config, tokens=TOKENS), keep=["logits"])
    assert with_logits.n_bytes == 4 * (numbers + TOKENS * 101)
