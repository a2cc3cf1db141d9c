"""A lesson's copy while it learns, and the weights that its change makes, are one model."""

import pytest
import torch
from tests.unit.teach.pupils import pupil

from nextword.evaluate.exact_replies import Pair
from nextword.teach.config import TeachingConfig
from nextword.teach.edit.weight_delta import Apprentice, copy_with
from nextword.teach.evaluation.reply_changes import changed, generated


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


def test_a_forward_pass_finds_the_replies_that_generating_finds_changed() -> None:
    model = pupil()
    prompts = ["who is she", "the cat", "a mat ?", "my sister", "she sat on a mat", "who ?"]
    given = [tuple(model.ids([prompt])) for prompt in prompts]
    before = generated(model.decoder, given, model.tokenizer, kind="dialogue")
    assert model.teach(
        [("who is she", "my sister .")], learning_rate=0.1, rehearsal_weight=0.0, largest_kl=99.0
    ).learned
    after = generated(model.decoder, given, model.tokenizer, kind="dialogue")
    pairs = [Pair(prompt, reply) for prompt, reply in zip(given, before, strict=True)]
    found = changed(model.decoder, pairs, pad_id=model.tokenizer.pad_id)
    otherwise = [was != now for was, now in zip(before, after, strict=True)]
    assert [pair in found for pair in pairs] == otherwise
    assert any(otherwise)
