"""Muon: the same steps as torch's own, worked out for all matrices of a shape at once."""

import math

import pytest
import torch
from torch import nn

from nextword.training.optim import muon as muon_module
from nextword.training.optim.muon import Muon, orthogonal

SHAPES = [(5, 5), (5, 5), (3, 7), (7, 3), (3, 7)]


def matrices(seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def set_gradients(parameters: list[nn.Parameter], seed: int) -> None:
    for parameter, drawn in zip(parameters, matrices(seed), strict=True):
        parameter.grad = drawn.detach()


def test_with_jordans_quintic_the_steps_are_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muon_module, "COEFFICIENTS", ((3.4445, -4.7750, 2.0315),) * 5)
    ours, theirs = matrices(), matrices()
    muon = Muon({1.0: ours}, rate=0.02, momentum=0.95, weight_decay=0.1, dtype=torch.bfloat16)
    reference = torch.optim.Muon(theirs, lr=0.02, momentum=0.95, weight_decay=0.1)
    for step in range(1, 6):
        set_gradients(ours, step)
        set_gradients(theirs, step)
        muon.step(0.5)
        reference.param_groups[0]["lr"] = 0.01
        reference.step()  # type: ignore[no-untyped-call]
    for a, b, first in zip(ours, theirs, matrices(), strict=True):
        # bfloat16 inside: a single and a batched product round differently
        torch.testing.assert_close(a, b, atol=2e-3, rtol=0)
        assert (a - first).abs().max() > 0.01


def test_a_share_of_the_rate_moves_by_that_share() -> None:
    whole, half = matrices()[:1], matrices()[:1]
    muon = Muon({1.0: whole, 0.5: half}, rate=0.02, momentum=0.9, weight_decay=0.0)
    for parameters in (whole, half):
        parameters[0].grad = torch.eye(5)
    start = matrices()[0]
    muon.step(1.0)
    torch.testing.assert_close(half[0] - start, (whole[0] - start) / 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(2, 5, 11), (2, 11, 5), (1, 7, 7)])
def test_singular_values_are_brought_near_one_and_directions_kept(
    shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    made = orthogonal(drawn, dtype)
    assert made.dtype == torch.float32
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.5
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(drawn, full_matrices=False)
    along = torch.einsum("nij,nik,nkj->nj", left, made, right.mT)  # diagonal of Uᵀ made V
    assert along.min() > 0.5


def test_singular_values_from_a_hundredth_up_end_near_one() -> None:
    values = torch.cat([torch.logspace(-2, -0.1, 40), torch.zeros(24)])  # with a norm near 1
    values /= values.norm()
    left, right = (
        torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(n)))[0]
        for n in (0, 1)
    )
    made = torch.linalg.svdvals(orthogonal((left * values @ right)[None], torch.float32)[0])
    kept = int((values >= 0.01).sum())
    assert kept > 20
    assert 0.72 < made[:kept].min() <= made[:kept].max() < 1.28
    assert made[40:].abs().max() < 1e-3  # what is zero stays zero


def test_a_gradient_of_zero_moves_nothing_but_the_decay() -> None:
    parameter = nn.Parameter(torch.full((3, 7), 2.0))
    parameter.grad = torch.zeros(3, 7)
    muon = Muon({1.0: [parameter]}, rate=0.1, momentum=0.9, weight_decay=0.5)
    muon.step(1.0)
    torch.testing.assert_close(parameter.detach(), torch.full((3, 7), 2.0 * (1 - 0.1 * 0.5)))


def test_tall_matrices_take_longer_steps() -> None:
    tall, wide = nn.Parameter(torch.zeros(8, 2)), nn.Parameter(torch.zeros(2, 8))
    tall.grad = torch.eye(8, 2)
    wide.grad = torch.eye(2, 8)
    Muon({1.0: [tall, wide]}, rate=1.0, momentum=0.0, weight_decay=0.0).step(1.0)
    assert tall.detach().norm() / wide.detach().norm() == pytest.approx(math.sqrt(8 / 2), rel=1e-4)
