"""A linear layer whose matrix is kept in full precision and used in the input's."""

from torch import Tensor, nn
from torch.nn import functional as F


class Linear(nn.Linear):
    """y = x Wᵀ + b, computed in x's dtype, whatever dtype the weights are kept in.

    So a float32 master weight can serve a bfloat16 forward without a hidden autocast context.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`x` [..., in] → [..., out], in x's dtype."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)
