"""Token shift: each word's vector gets shares of the vectors of the words just before it.

The first block then sees neighbours as they are, and need not spend a head on finding them.
Source: RWKV (arXiv 2305.13048), which mixes in one word; here there may be several.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TokenShift(nn.Module):
    """added_t = Σ_k weight[k − 1] ⊙ vector_{t−k}, k = 1 … K; a share for each dimension.

    Args:
        words: K, how many earlier words are mixed in.
        width: M.
    """

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(words, width))

    def forward(self, vectors: Tensor, *, tokens: int, documents: Tensor | None = None) -> Tensor:
        """What the earlier words add to each of the last `tokens` words.

        Args:
            vectors: [B, E + T, M], the T words after those E ≤ K that went before.
            tokens: T.
            documents: [B, E + T]; words of another document add nothing. None: there is one.

        Returns:
            [B, T, M].
        """
        words = len(self.weight)
        missing = words + tokens - vectors.shape[1]  # before the beginning; they add nothing
        vectors = F.pad(vectors, (0, 0, missing, 0))  # [B, K + T, M]
        if documents is not None:
            documents = F.pad(documents, (missing, 0))  # [B, K + T]
        added = torch.zeros_like(vectors[:, words:])
        for back, share in enumerate(self.weight.to(vectors.dtype), start=1):
            first = words - back
            earlier = vectors[:, first : first + tokens]
            if documents is not None:
                same = documents[:, first : first + tokens] == documents[:, words:]  # [B, T]
                earlier = earlier * same.unsqueeze(-1)
            added = torch.addcmul(added, earlier, share)
        return added
