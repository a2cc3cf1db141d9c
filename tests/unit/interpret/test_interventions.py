"""Replacing values: heads taken out, patches, steering, and what is refused meanwhile."""

from collections.abc import Callable

import pytest
import torch
from tests.parity.test_forwards import loud

import nextword as nw
from nextword.config import ModelConfig
from nextword.errors import ConfigError
from nextword.interpret import forward
from nextword.interpret.interventions import Changes
from nextword.language_model import LanguageModel
from nextword.tokenizer.tokenizer import Tokenizer

TEXTS = ["the cat sat on the mat", "a dog sat on the log"]
CONTEXT = "blocks.1.attention.context"


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    tokenizer = Tokenizer.learn(TEXTS, kind="words")
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, d_model=23, n_layers=2, n_heads=6, n_kv_heads=2, d_head=14,
        context_length=31,
    )  # fmt: skip
    return LanguageModel(loud(config), tokenizer, kind="text")


def test_a_head_taken_out_is_a_head_without_output(model: LanguageModel) -> None:
    text = "the cat sat on"
    with model.edit(nw.ablate(layer=1, head=4)):
        ablated = model.trace(text)
        verdicts = model.verdicts(text)
    assert ablated[CONTEXT][4].abs().max() == 0
    assert ablated[CONTEXT][3].abs().max() > 0
    assert ablated.fast_difference is None
    other = loud(model.config)
    with torch.no_grad():
        other.get_parameter("blocks.1.attention.output.weight")[:, 4 * 14 : 5 * 14] = 0
    logits = forward(other, ablated.token_ids).detach()
    torch.testing.assert_close(ablated["logits"], logits)
    torch.testing.assert_close(
        verdicts[-1].predicted.probability, logits[-1].softmax(-1).max().item()
    )
    assert model.trace(text).fast_difference is not None  # outside of the block all is as before


def test_the_mean_of_a_head(model: LanguageModel) -> None:
    text = "the cat sat on"
    before = model.trace(text)[CONTEXT]
    with model.edit(nw.ablate(layer=1, head=-1, how="mean")):
        after = model.trace(text)[CONTEXT]
    torch.testing.assert_close(after[5], before[5].mean(dim=0).expand(4, 14))
    torch.testing.assert_close(after[:5], before[:5])


def test_a_patch_brings_a_value_from_another_text(model: LanguageModel) -> None:
    donor = model.trace("a dog sat on")
    name = "blocks.0.residual_post"
    with model.edit(nw.patch(donor, name)):
        patched = model.trace("the cat sat on")
    torch.testing.assert_close(patched["logits"], donor["logits"])
    with model.edit(nw.patch(donor, name, positions=[-1, 1])):
        some = model.trace("the cat sat on")[name]
    clean = model.trace("the cat sat on")[name]
    torch.testing.assert_close(some[[1, 3]], donor[name][[1, 3]])
    torch.testing.assert_close(some[[0, 2]], clean[[0, 2]])


def test_a_patch_of_one_head_at_one_position(model: LanguageModel) -> None:
    donor, clean = model.trace("a dog"), model.trace("the cat sat on")
    with model.edit(nw.patch(donor, CONTEXT, positions=[1], head=2)):
        found = model.trace("the cat sat on")[CONTEXT]
    torch.testing.assert_close(found[2, 1], donor[CONTEXT][2, 1])
    same = torch.ones(6, 4, dtype=torch.bool)
    same[2, 1] = False
    torch.testing.assert_close(found[same], clean[CONTEXT][same])


def test_steering_adds_a_direction(model: LanguageModel) -> None:
    direction, name = torch.arange(23.0), "blocks.0.residual_mid"
    clean = model.trace("the cat sat")[name]
    with model.edit(nw.steer(name, direction, by=0.5)):
        everywhere = model.trace("the cat sat")[name]
    with model.edit(nw.steer(name, direction, by=-2.0, positions=[-1])):
        last = model.trace("the cat sat")[name]
    torch.testing.assert_close(everywhere, clean + 0.5 * direction)
    torch.testing.assert_close(last[-1], clean[-1] - 2 * direction)
    torch.testing.assert_close(last[:-1], clean[:-1])


def test_inner_changes_come_after_outer_ones(model: LanguageModel) -> None:
    name = "token_embedding"
    clean = model.trace("the cat")[name]
    with model.edit({name: lambda value: value + 1}):
        with model.edit({"*_embedding": lambda value: value * 3}):
            both = model.trace("the cat", keep=[name])
        one = model.trace("the cat", keep=[name])
    torch.testing.assert_close(both[name], (clean + 1) * 3)
    torch.testing.assert_close(one[name], clean + 1)
    assert list(both.values) == [name]


def test_a_tensor_takes_the_place_of_a_value(model: LanguageModel) -> None:
    with model.edit({"final_norm": torch.zeros(2, 23)}):
        logits = model.trace("the cat")["logits"]
        chain = model.chain("the cat")
    assert logits.abs().max() == 0  # no bias
    assert chain.fast_difference is None
    assert chain.steps[-1].lines[0].numbers[1] == pytest.approx(1 / model.config.vocab_size)


def test_the_fast_decoder_is_not_edited(model: LanguageModel) -> None:
    with model.edit({}), pytest.raises(ConfigError, match="cannot be edited"):
        model.reply("the cat")
    assert model.reply("the cat").tokens
    with pytest.raises(RuntimeError, match="stop"), model.edit({}):
        raise RuntimeError("stop")
    assert model.reply("the cat").tokens  # an edit ends with its block, however that ends


def test_an_edited_trace_shows_what_it_keeps_and_no_more(model: LanguageModel) -> None:
    with model.edit(nw.ablate(layer=0, head=0)):
        trace = model.trace("the cat sat", keep=["logits", "blocks.0.attention.query"])
    assert len(trace.verdicts()) == 3
    assert trace.row("blocks.0.attention.query", 1, head=2).shape == (14,)
    late: list[Callable[[], object]] = [
        lambda: trace["residual"],
        lambda: trace.row("residual", 0),
        lambda: trace.rows(0, 0),
        lambda: trace.past(0, 0),
        trace.account,
        trace.narrate,
        trace.lens,
        trace.overview,
        lambda: trace.equation("blocks.0.residual_mid", [0, 0]),
        lambda: trace.gradients(["residual"]),
    ]
    for ask in late:
        with pytest.raises(ConfigError, match="made under an edit"):
            ask()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks.0.residual_mid": torch.zeros(3, 22)}, "of \\[2, 23\\]; the shape must stay"),
        (nw.ablate(layer=0, head=6), "head is 6; it must be 0 to 5"),
        (nw.steer("residual", torch.zeros(22)), "has shape \\[22\\], and residual needs \\[23\\]"),
        (nw.steer("residual", torch.zeros(23), positions=[2]), "position is 2"),
    ],
)
def test_what_does_not_fit_is_refused(model: LanguageModel, changes: Changes, message: str) -> None:
    with model.edit(changes), pytest.raises(ConfigError, match=message):
        model.trace("the cat")


def test_what_there_is_not_is_refused_at_once(model: LanguageModel) -> None:
    with pytest.raises(ConfigError, match="Did you mean"), model.edit({"blocks.0.residual": abs}):
        pass
    with (
        pytest.raises(ConfigError, match="block 2; there are blocks 0 to 1"),
        model.edit(nw.ablate(layer=2, head=0)),
    ):
        pass
    with pytest.raises(ConfigError, match="'zero' or 'mean'"):
        nw.ablate(layer=0, head=0, how="median")  # type: ignore[arg-type]
    donor = model.trace("the cat sat")
    with (
        model.edit(nw.patch(donor, "blocks.0.attention.scores", positions=[1])),
        pytest.raises(ConfigError, match="only texts of one length"),
    ):
        model.trace("the cat")
    with (
        model.edit(nw.patch(donor, "residual", head=0)),
        pytest.raises(ConfigError, match="residual has no heads"),
    ):
        model.trace("the cat sat")
