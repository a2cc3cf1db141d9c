"""The account of the article's model against numpy, and what an account says for itself."""

import numpy as np
import pytest
import torch
from tests.parity.grid import config_of
from tests.parity.test_forwards import loud, sentence

from nextword.errors import ConfigError, LossError
from nextword.interpret import record
from nextword.interpret.logit_attribution import Account
from nextword.model import Decoder
from nextword.presets import PRESETS, preset

IDS = [3, 1, 4, 1, 5]


def name(token_id: int) -> str:
    return f" w{token_id}"


def article(seed: int = 5) -> Decoder:
    config = preset("seed", vocab_size=11, d_model=2, context_length=13)
    return loud(config, seed=seed)


def account_of(position: int, token: int, against: int | None = None) -> Account:
    trace = record(article(), torch.tensor(IDS), keep=(), name=name)
    return trace.account(position, token, against)


def test_the_articles_account_is_numpys() -> None:
    parameters = {
        key: value.detach().double().numpy() for key, value in article().named_parameters()
    }
    i, token, against = 3, 7, 2
    place = np.stack([np.sin(np.arange(5)), np.cos(np.arange(5))], axis=1)
    embedding = parameters["token_embedding.weight"][IDS]
    words = embedding + place
    query, keys, values = (
        words @ parameters[f"blocks.0.attention.{part}.weight"].T
        for part in ("query", "key", "value")
    )
    powers = np.exp(keys[: i + 1] @ query[i])
    weights = powers / powers.sum()
    u = parameters["unembedding.weight"][token] - parameters["unembedding.weight"][against]
    bias = parameters["unembedding.bias"][token] - parameters["unembedding.bias"][against]
    found = account_of(i, token, against)
    amounts = {part.name: part.amount for part in found.fixed}
    assert list(amounts) == ["token_embedding", "position", "unembedding.bias"]
    assert amounts["token_embedding"] == pytest.approx(embedding[i] @ u, abs=1e-5)
    assert amounts["position"] == pytest.approx(place[i] @ u, abs=1e-5)
    assert amounts["unembedding.bias"] == pytest.approx(bias, abs=1e-6)
    carried = weights * (values[: i + 1] @ u)
    np.testing.assert_allclose(found.heads[0, 0], [*carried, 0.0], atol=1e-5)
    residual = words[i] + weights @ values[: i + 1]
    assert found.logit == pytest.approx(residual @ u + bias, abs=1e-5)
    assert found.total == pytest.approx(found.logit, abs=1e-5)
    by_word = found.by_word()
    assert [part.name for part in by_word] == [f"by_word.{j}" for j in range(5)] + ["by_word.rest"]
    np.testing.assert_allclose([part.amount for part in by_word[:4]], carried, atol=1e-5)


def test_every_part_has_its_name_and_label() -> None:
    config = config_of("norm after")
    decoder = loud(config)
    account = record(decoder, torch.tensor(IDS), keep=(), name=name).account(2, 3)
    fixed = [part.name for part in account.fixed]
    per_layer = ["attention_norm.bias", "feed_forward", "feed_forward_norm.bias"]
    layers = [f"blocks.{layer}.{part}" for layer in range(2) for part in per_layer]
    assert fixed == ["token_embedding", *layers]
    parts = {part.name: part for part in account.contributions()}
    assert len(parts) == len(fixed) + 2 * 3 * 3 == account.n_contributions
    head = parts["blocks.1.attention.head.2.word.0"]
    assert (head.layer, head.head, head.source, head.kind) == (1, 2, 0, "head")
    assert head.label == "head 2 of layer 1 ← “␣w3”"
    assert parts["blocks.0.feed_forward"].label == "feed-forward of layer 0"


def test_gpt2_has_the_biases_of_its_projections_and_its_final_norm() -> None:
    config = config_of("gpt2")
    account = record(loud(config), torch.tensor(IDS), keep=()).account(2, 3)
    assert [part.name for part in account.fixed] == [
        "token_embedding", "position",
        "blocks.0.attention.output.bias", "blocks.0.feed_forward",
        "blocks.1.attention.output.bias", "blocks.1.feed_forward", "final_norm.bias",
    ]  # fmt: skip
    kinds = {part.kind for part in account.fixed}
    assert kinds == {"embedding", "position", "bias", "feed_forward"}
    assert [part.name for part in account.by_kind()] == [
        "by_kind.embedding", "by_kind.position", "by_kind.head", "by_kind.feed_forward",
        "by_kind.bias",
    ]  # fmt: skip


def test_the_soft_cap_is_a_part_of_its_own() -> None:
    account = record(loud(config_of("soft caps")), torch.tensor(IDS), keep=()).account(2, 3, 8)
    cap = account.fixed[-1]
    assert (cap.name, cap.kind) == ("logit_soft_cap", "soft_cap")
    before = sum(part.amount for part in account.contributions() if part is not cap)
    assert cap.amount == pytest.approx(account.logit - before, abs=1e-4)
    assert account.by_layer()[-1].amount == pytest.approx(cap.amount, abs=1e-9)


def test_the_groups_are_sums_of_contributions() -> None:
    account = record(loud(config_of("llama")), sentence(config_of("llama")), keep=()).account(9, 4)
    parts = account.contributions()
    for layer, head in ((0, 5), (1, 2)):
        wanted = sum(part.amount for part in parts if (part.layer, part.head) == (layer, head))
        found = account.by_head()[layer * 6 + head]
        assert (found.name, found.layer, found.head) == (f"by_head.{layer}.{head}", layer, head)
        assert found.amount == pytest.approx(wanted, abs=1e-6)
    for layer in (0, 1):
        wanted = sum(part.amount for part in parts if part.layer == layer)
        assert account.by_layer()[1 + layer].amount == pytest.approx(wanted, abs=1e-6)
    rest = sum(part.amount for part in parts if part.kind != "head")
    for group in (account.by_word(), account.by_head()):
        assert group[-1].amount == pytest.approx(rest, abs=1e-6)


def test_the_largest_come_first_whether_all_or_some_are_asked_for() -> None:
    account = record(loud(config_of("llama")), sentence(config_of("llama")), keep=()).account(9, 4)
    parts = account.contributions()
    sizes = [abs(part.amount) for part in parts]
    assert sizes == sorted(sizes, reverse=True)
    for top in (1, 7, 40, 10_000):
        assert account.contributions(top) == parts[:top]
    with pytest.raises(ConfigError, match="top is 0"):
        account.contributions(0)


def test_equals_come_in_the_order_of_the_forward() -> None:
    fresh = Decoder(config_of("llama"), seed=1)  # its heads and feed-forwards still write zeros
    account = record(fresh, torch.tensor(IDS), keep=()).account(1, 4)
    names = [part.name for part in account.contributions()]
    assert names[0] == "token_embedding"
    assert names[1:3] == ["blocks.0.attention.head.0.word.0", "blocks.0.attention.head.0.word.1"]
    assert names[13] == "blocks.0.feed_forward"
    assert account.contributions(20) == account.contributions()[:20]


@pytest.mark.parametrize("family", PRESETS)
def test_every_preset_adds_up(family: str) -> None:
    sizes = {"d_model": 12, "n_layers": 3, "n_heads": 2} if family != "seed" else {"d_model": 7}
    config = preset(family, vocab_size=53, context_length=17, **sizes)
    trace = record(loud(config, seed=9), sentence(config), keep=())
    for position in range(17):
        account = trace.account(position, against=3)
        most = max(abs(part.amount) for part in account.contributions(1))
        assert abs(account.total - account.logit) <= 1e-4 * max(abs(account.logit), most)


def test_what_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="position is 5; it must be 0 to 4"):
        account_of(5, 0)
    with pytest.raises(ConfigError, match="there is no token 11; ids are 0 to 10"):
        account_of(0, 11)
    with pytest.raises(ConfigError, match="there is no token -1"):
        account_of(0, 1, -1)
    broken = article()
    with torch.no_grad():
        broken.token_embedding.weight.fill_(float("nan"))
    with pytest.raises(LossError, match="not finite"):
        record(broken, torch.tensor(IDS), keep=()).account()
