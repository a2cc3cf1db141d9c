"""The norm and the rotation of training have the values and gradients of the plain ones."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nextword.kernels.custom_backward import RMSNormStep, RotateStep, pays
from nextword.model.positions import rotate


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


@pytest.mark.parametrize("weight_shape", [(7,), (3, 1, 7)])
def test_the_norm_equals_torch(weight_shape: tuple[int, ...]) -> None:
    x = drawn(2, 3, 5, 7).requires_grad_()
    weight = drawn(*weight_shape, seed=1).requires_grad_()
    gradient = drawn(2, 3, 5, 7, seed=2)
    plain = F.rms_norm(x, (7,), eps=1e-3) * weight
    lean = RMSNormStep.apply(x, weight, 1e-3)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(lean, plain)
    expected = torch.autograd.grad(plain, (x, weight), gradient)
    found = torch.autograd.grad(lean, (x, weight), gradient)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b)


def test_the_norm_returns_the_dtype_it_was_given() -> None:
    x = drawn(5, 7).bfloat16().requires_grad_()
    made = RMSNormStep.apply(x, torch.ones(7, requires_grad=True), 1e-6)  # type: ignore[no-untyped-call]
    assert made.dtype == torch.bfloat16
    made.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16


def test_a_vector_of_zeros_has_no_infinite_norm() -> None:
    x = torch.zeros(2, 7, requires_grad=True)
    made = RMSNormStep.apply(x, torch.ones(7), 1e-6)  # type: ignore[no-untyped-call]
    made.sum().backward()
    assert torch.equal(made, torch.zeros(2, 7))
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


def test_the_rotation_equals_the_plain_one() -> None:
    x = drawn(2, 3, 5, 6).requires_grad_()
    angles = drawn(5, 3, seed=1)
    angles = torch.cat((angles, angles), dim=-1)
    turn = angles.cos(), angles.sin()
    gradient = drawn(2, 3, 5, 6, seed=2)
    lean = RotateStep.apply(x, *turn)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        assert not pays(x)
        plain = rotate(x, turn)  # the chain of small operations
    torch.testing.assert_close(lean, plain)
    (found,) = torch.autograd.grad(lean, x, gradient)
    with torch.no_grad():
        back = rotate(gradient, (turn[0], -turn[1]))
    torch.testing.assert_close(found, back)


def test_a_quarter_turn_by_hand() -> None:  # cos 90° is 0, sin 90° is 1
    x = torch.tensor([[3.0, 5.0]], requires_grad=True)
    made = RotateStep.apply(x, torch.zeros(1, 2), torch.ones(1, 2))  # type: ignore[no-untyped-call]
    torch.testing.assert_close(made, torch.tensor([[-5.0, 3.0]]))
    made.backward(torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(x.grad, torch.tensor([[0.0, -1.0]]))


def test_a_gradient_of_the_gradient_is_refused_and_not_wrong() -> None:
    x = drawn(5, 7).requires_grad_()
    made = RMSNormStep.apply(x, torch.ones(7, requires_grad=True), 1e-6)  # type: ignore[no-untyped-call]
    (first,) = torch.autograd.grad(made.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()  # type: ignore[no-untyped-call]
