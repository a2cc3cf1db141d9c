"""Whether weights are still the same: quickly within a process, and by their bytes for ever."""

import torch
from tests.parity.grid import config_of
from tests.parity.test_forwards import loud

from nextword.config import ModelConfig
from nextword.language_model import LanguageModel
from nextword.model import Decoder
from nextword.model.fingerprint import stamp_of, version_of
from nextword.tokenizer.tokenizer import Tokenizer


def test_the_version_is_the_weights() -> None:
    one, same = loud(config_of("gpt2")), loud(config_of("gpt2"))
    assert version_of(one) == version_of(same)
    assert len(version_of(one)) == 16
    assert version_of(loud(config_of("gpt2"), seed=4)) != version_of(one)
    before = stamp_of(one)
    assert stamp_of(one) == before
    with torch.no_grad():
        one.get_parameter("final_norm.bias")[3] += 1
    assert stamp_of(one) != before
    assert version_of(one) != version_of(same)
    assert version_of(loud(config_of("gpt2")).bfloat16()) != version_of(same)


def test_a_language_models_version_follows_its_weights() -> None:
    tokenizer = Tokenizer.learn(["the cat sat"], kind="words")
    config = ModelConfig(vocab_size=tokenizer.vocab_size, d_model=6, context_length=7)
    model = LanguageModel(Decoder(config, seed=1), tokenizer, kind="text")
    first = model.version
    assert model.version == first == version_of(model.decoder)
    with torch.no_grad():
        model.decoder.token_embedding.weight.add_(1)
    assert model.version != first


def test_tokens_are_traced_as_their_text_is() -> None:
    tokenizer = Tokenizer.learn(["the cat sat"], kind="words")
    config = ModelConfig(vocab_size=tokenizer.vocab_size, d_model=6, context_length=7)
    model = LanguageModel(Decoder(config, seed=1), tokenizer, kind="text")
    trace = model.trace("the cat")
    other = model.trace_ids(model.ids("the cat"), keep=["residual"])
    assert trace.tokens == other.tokens == tuple(map(tokenizer.token, model.ids("the cat")))
    assert (list(trace.values), list(other.values)) == ([], ["residual"])
    torch.testing.assert_close(trace["residual"], other["residual"])
