"""A lesson's copy while it learns, and the weights that its change makes, are one model."""

import pytest
import torch
from tests.unit.teach.pupils import pupil

from nextword.teach.config import TeachingConfig
from nextword.teach.scope import Apprentice, copy_with


@pytest.mark.parametrize("scope", ["all", "last", "adapter"])
def test_the_copy_computes_what_its_change_makes_of_the_weights(scope: str) -> None:
    model = pupil()
    with torch.no_grad():
        model.decoder.unembedding.weight.mul_(50)  # a new model's is small
    config = TeachingConfig(scope=scope, rank=3)  # type: ignore[arg-type]
    apprentice = Apprentice(model.decoder, config.scope, config)
    draws = torch.Generator().manual_seed(7)
    tokens = torch.tensor([model.ids(["who is she", "my sister ."])])
    with torch.no_grad():
        for parameter in apprentice.parameters:
            parameter.add_(torch.randn(parameter.shape, generator=draws), alpha=0.3)
        applied = apprentice.change().apply(dict(model.decoder.named_parameters()))
        made = copy_with(model.decoder, applied)(tokens)
        assert not torch.allclose(made, model.decoder(tokens), atol=1e-2)
        torch.testing.assert_close(apprentice.decoder(tokens), made, rtol=1e-4, atol=1e-4)
