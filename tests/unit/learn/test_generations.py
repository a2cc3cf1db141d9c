"""Later models learn what earlier ones say, of text in which some words are others."""

import dataclasses

import numpy as np
import pytest
import torch
from tests.small_runs import Notes

from nextword.config import TrainingConfig
from nextword.learn.generations import (
    REPLACED,
    Onward,
    disturbed,
    generation_of,
    n_models,
    settings_of,
    summary,
    teachers_of,
    told,
)
from nextword.learn.loss import NO_LOSS, loss_sum, opinion, taught_loss_sum
from nextword.learn.scores import Scores, Update
from nextword.model.decoder import Decoder
from nextword.presets import preset


def decoder(seed: int) -> Decoder:
    config = preset("qwen3", vocab_size=11, context_length=7, d_model=8, n_layers=1, n_heads=2)
    return Decoder(config, seed=seed).eval()


def test_later_generations_are_sure_and_every_model_has_a_seed() -> None:
    asked = TrainingConfig(
        steps=5, seed=3, dropout=0.2, label_smoothing=0.1, generations=3, siblings=2
    )
    assert n_models(asked) == 4
    assert [generation_of(model, asked) for model in (1, 2, 3, 4)] == [1, 1, 2, 3]
    first, sibling, second, third = (settings_of(asked, model) for model in (1, 2, 3, 4))
    assert first is asked
    assert sibling == dataclasses.replace(asked, seed=sibling.seed)
    later = {"dropout": 0.0, "label_smoothing": 0.0, "compile": "no"}
    assert dataclasses.asdict(second) == dataclasses.asdict(asked) | later | {"seed": second.seed}
    assert len({each.seed for each in (first, sibling, second, third)}) == 4
    assert settings_of(asked, 3) == second
    assert n_models(TrainingConfig(steps=5)) == 1


def test_each_generation_learns_from_the_one_before_it() -> None:
    models = [decoder(seed) for seed in range(4)]
    asked = TrainingConfig(steps=5, generations=3, siblings=2)
    found = [teachers_of(models[:number], asked) for number in range(4)]
    assert found == [(), (), (models[0], models[1]), (models[2],)]
    assert [told(model, asked) for model in (2, 3, 4)] == [
        "model 2 of 4 learns the text, too",
        "model 3 of 4 learns what is said by the 2 before it",
        "model 4 of 4 learns what is said by the one before it",
    ]
    assert summary(asked).startswith("2 learn the text, the next one what these say, each other")
    alone = dataclasses.replace(asked, siblings=1)
    assert told(2, alone) == "model 2 of 3 learns what is said by the one before it"
    assert summary(alone) == "the first learns the text, each other one what the one before it says"


def test_a_share_of_the_words_is_replaced_by_others_always_the_same() -> None:
    tokens = np.full((100, 503), 7)
    found = disturbed(tokens, 17, vocab_size=1009, seed=5)
    others = (found != 7).mean(axis=1)
    assert others.mean() == pytest.approx(REPLACED, rel=0.1)
    assert others.min() < 0.03 and 0.27 < others.max() < 0.37  # of 0 to 2 · REPLACED
    words = found[found != 7]
    assert words.min() >= 0 and 900 < words.max() < 1009 and len(np.unique(words)) > 900
    assert (tokens == 7).all()
    parts = [disturbed(tokens[:3], 17, vocab_size=1009, seed=5)]
    parts.append(disturbed(tokens[3:], 20, vocab_size=1009, seed=5))
    assert (np.concatenate(parts) == found).all()
    assert (disturbed(tokens, 17, vocab_size=1009, seed=6) != found).any()


def test_teachers_are_heard_together() -> None:
    one, other = decoder(1), decoder(2)
    tokens = torch.arange(14).view(2, 7) % 11
    said = opinion([one, other], tokens, None)
    with torch.no_grad():
        expected = (one(tokens).softmax(-1) + other(tokens).softmax(-1)) / 2
    torch.testing.assert_close(said, expected)
    assert not said.requires_grad


def test_what_is_learned_is_what_teachers_say_and_what_is_told_is_the_text() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 5, 11, generator=generator, requires_grad=True)
    wanted = torch.rand(2, 5, 11, generator=generator)
    wanted /= wanted.sum(-1, keepdim=True)
    targets = torch.randint(11, (2, 5), generator=generator)
    targets[1, 2:] = NO_LOSS
    loss = taught_loss_sum(logits, targets, wanted)
    torch.testing.assert_close(loss, loss_sum(logits, targets))
    loss.backward()  # type: ignore[no-untyped-call]
    expected = (logits.softmax(-1) - wanted) * (targets != NO_LOSS).unsqueeze(-1)
    torch.testing.assert_close(logits.grad, expected.detach())


class Told(Notes):
    def __init__(self) -> None:
        super().__init__()
        self.updates: list[Update] = []
        self.evaluations: list[int] = []

    def update(self, update: Update) -> None:
        self.updates.append(update)

    def evaluated(self, step: int, scores: Scores) -> None:
        self.evaluations.append(step)


def test_only_the_last_model_is_told_to_be_evaluated() -> None:
    scores = Scores(loss=1.0, perplexity=2.7, bits_per_byte=None, top1=0.5, top5=0.5, n_tokens=9)
    heard = Told()
    Onward(heard, before=20, after=30, seconds=9.0).evaluated(3, scores)
    Onward(heard, before=50, after=0, seconds=0.0).evaluated(4, scores)
    assert heard.evaluations == [54]


def test_steps_are_counted_over_all_generations() -> None:
    heard = Told()
    onward = Onward(heard, before=20, after=30, seconds=9.0)
    update = Update(
        step=3,
        steps=10,
        loss=1.0,
        learning_rate=1.0,
        tokens_per_second=1.0,
        peak_share=None,
        seconds_left=2.0,
        gradient_norm=1.0,
    )
    onward.update(update)
    onward.note("said")
    (found,) = heard.updates
    assert (found.step, found.steps, found.seconds_left) == (23, 60, 11.0)
    assert heard.notes == ["said"]
