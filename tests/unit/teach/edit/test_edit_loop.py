"""Step by step to the right words, on a copy."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from tests.unit.teach.pupils import pupil

from nextword.language_model import LanguageModel
from nextword.model import Decoder
from nextword.teach.config import TeachingConfig
from nextword.teach.edit.correction import Correction, from_pair
from nextword.teach.edit.edit_loop import AGAIN, MENDING, TOLD, Teacher
from nextword.teach.edit.edit_optimizers import MOMENTUM, Momentum
from nextword.teach.edit.rehearsal import Rehearsal
from nextword.teach.edit.targets import look, misses, pulled
from nextword.teach.edit.token_batches import side_by_side
from nextword.teach.edit.weight_delta import copy_with
from nextword.teach.evaluation.metrics import Locality, TeachingStep


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return pupil()


def corrections(model: LanguageModel, *pairs: tuple[str, str]) -> list[Correction]:
    return [from_pair(pair, model.prompting, kind="dialogue", context_length=19) for pair in pairs]


def left(kept: int, *, kl: float = 0.0) -> Locality:
    return Locality(n=1000, kept=kept, kl=kl, was_right=900, newly_wrong=0, newly_right=0)


def teacher(
    model: LanguageModel,
    learned: Sequence[Correction],
    *,
    stayed: Callable[[Decoder], Locality] | None = None,
    earlier: Sequence[Correction] = (),
    **settings: Any,
) -> Teacher:
    rows = [model.ids([text, text]) for text in ("the cat sat", "on a mat", "my sister")]
    known = side_by_side(rows, pad_id=model.tokenizer.pad_id)
    settings = {"seconds": 1e3, "rehearsal_weight": 1.0, "learning_rate": 0.1} | settings
    return Teacher(
        model.decoder, learned, Rehearsal("training", known, None), TeachingConfig(**settings),
        stayed=stayed or (lambda decoder: left(1000)), earlier=earlier,
    )  # fmt: skip


def after(decoder: Decoder, taught: Teacher) -> Decoder:
    return copy_with(decoder, taught.change.apply(dict(decoder.named_parameters())))


def told(steps: Sequence[TeachingStep]) -> list[tuple[int, float, float, int]]:
    return [(step.step, step.loss, step.rehearsal_kl, step.n_right) for step in steps]


@pytest.mark.parametrize("scope", ["all", "last", "adapter"])
def test_every_target_is_right_in_the_weights_that_the_change_makes(
    model: LanguageModel, scope: str
) -> None:
    settings: dict[str, Any] = {}
    if scope == "adapter":  # a new model's unembedding is so small that its blocks say little
        settings = {"learning_rate": 0.03, "rehearsal_weight": 0.0, "margin": 0.1}
        model = pupil()
        with torch.no_grad():
            model.decoder.unembedding.weight.mul_(50)
    learned = corrections(model, ("who is she", "my sister ."))
    taught = teacher(model, learned, scope=scope, **settings)
    before = copy.deepcopy(model.decoder.state_dict())
    steps = list(taught.steps())
    assert taught.outcome == "learned"
    with torch.no_grad():
        margin = settings.get("margin", 0.5)
        assert not look(model.decoder, learned).good(margin)
        assert look(after(model.decoder, taught), learned).good(margin)
    assert [step.step for step in steps] == list(range(len(steps)))
    assert steps[0].rehearsal_kl == pytest.approx(0.0, abs=1e-6)
    assert steps[0].loss > steps[-1].loss
    assert (steps[-1].n_right, steps[-1].n_targets) == (4, 4)
    now = model.decoder.state_dict()
    assert all(torch.equal(before[name], now[name]) for name in before)
    assert not any(weight.grad is not None for weight in model.decoder.parameters())
    assert not model.decoder.training


def test_step_0_is_what_the_model_says_before(model: LanguageModel) -> None:
    learned = corrections(model, ("who is she", "my sister ."))
    step = next(teacher(model, learned).steps())
    verdicts = model.verdicts(["who is she", "my sister ."])[3:7]
    shares = [item.actual.probability for item in verdicts if item.actual is not None]
    assert step.probabilities == pytest.approx(shares, rel=1e-5)
    assert step.least == pytest.approx(min(shares), rel=1e-5)
    assert step.loss == pytest.approx(verdicts.loss, rel=1e-5)


def test_what_is_right_already_is_left_alone(model: LanguageModel) -> None:
    verdict = model.verdicts("who")[0]
    right = model.correction(model.ids("who")[:1], verdict.predicted.token_id)
    taught = teacher(model, [right], margin=0.0)
    assert [step.step for step in taught.steps()] == [0]
    assert (taught.outcome, taught.change.names) == ("already", ())


@pytest.mark.parametrize(
    ("settings", "outcome", "last"),
    [
        ({"steps": 3, "learning_rate": 1e-6}, "steps", 3),
        ({"seconds": 1e-9}, "seconds", 0),
        ({"stayed": lambda decoder: left(1000, kl=0.021), "steps": 7}, "kl", 7),
    ],
)
def test_bounds(model: LanguageModel, settings: dict[str, Any], outcome: str, last: int) -> None:
    taught = teacher(model, corrections(model, ("who is she", "the cat")), **settings)
    assert list(taught.steps())[-1].step == last
    assert taught.outcome == outcome


def test_it_goes_on_while_too_much_else_is_lost(model: LanguageModel) -> None:
    learned = corrections(model, ("who is she", "my sister ."))
    quick = teacher(model, learned)
    good = list(quick.steps())[-1].step
    shares = [980, 985, 989, 990]
    judged: list[Decoder] = []

    def stayed(decoder: Decoder) -> Locality:
        judged.append(decoder)
        return left(shares[len(judged) - 1])

    taught = teacher(model, learned, stayed=stayed)
    assert list(taught.steps())[-1].step == good + 3 * AGAIN
    assert (taught.outcome, len(judged)) == ("learned", 4)


def test_of_changes_that_all_lose_too_much_it_takes_the_best(model: LanguageModel) -> None:
    learned = corrections(model, ("who is she", "my sister ."))
    good = list(teacher(model, learned).steps())[-1].step
    shares = [970, 985, 980, 975, 985]
    judged: list[Decoder] = []

    def stayed(decoder: Decoder) -> Locality:
        judged.append(decoder)
        return left(shares[len(judged) - 1])

    taught = teacher(model, learned, stayed=stayed)
    assert list(taught.steps())[-1].step == good + MENDING
    assert taught.outcome == "learned"
    best = dict(judged[1].named_parameters())
    assert all(
        torch.equal(best[name], weight)
        for name, weight in after(model.decoder, taught).named_parameters()
    )


def test_it_stops_when_asked(model: LanguageModel) -> None:
    taught = teacher(model, corrections(model, ("who is she", "the cat")))
    for step in taught.steps():
        if step.step == 2:
            taught.stop()
    assert (taught.outcome, step.step) == ("stopped", 2)


def test_a_loss_that_is_no_number_ends_it(model: LanguageModel) -> None:
    broken = pupil()
    with torch.no_grad():
        broken.decoder.unembedding.weight.fill_(torch.nan)
    taught = teacher(broken, corrections(broken, ("who", "cat")))
    assert len(list(taught.steps())) == 1
    assert (taught.outcome, taught.change.names) == ("not_finite", ())


def test_the_same_seed_gives_the_same_bits(model: LanguageModel) -> None:
    learned = corrections(model, ("who is she", "my sister ."))
    runs = [teacher(model, learned) for _ in range(2)]
    first, second = (told(list(taught.steps())) for taught in runs)
    assert first == second
    one, other = (taught.change.tensors() for taught in runs)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_caller_may_be_in_inference_mode(model: LanguageModel) -> None:
    with torch.inference_mode():
        taught = teacher(model, corrections(model, ("who is she", "my sister .")))
        assert len(list(taught.steps())) > 1
    assert taught.outcome == "learned"


def test_an_earlier_lesson_stands() -> None:
    model = pupil()
    first = corrections(model, ("who is she", "my sister ."))
    taught = teacher(model, first)
    list(taught.steps())
    model.decoder = after(model.decoder, taught)
    second = corrections(model, ("who is the cat", "a mat ."))
    again = teacher(model, second, earlier=first)
    list(again.steps())
    assert again.outcome == "learned"
    assert misses(after(model.decoder, again), [*first, *second]) == set()


def test_at_most_64_probabilities_are_told(model: LanguageModel) -> None:
    replies = ("my sister . ? the cat sat", "a mat . ? my sister sat", "the mat ? . cat")
    prompts = ("who", "is", "she", "the")
    pairs = [(f"{prompt} {n}", reply) for prompt in prompts for n, reply in
             zip(("who", "is", "on"), replies, strict=True)]  # fmt: skip
    learned = corrections(model, *pairs)
    n_targets = 4 * (8 + 8 + 6)
    step = next(teacher(model, learned).steps())
    assert (step.n_targets, len(step.probabilities)) == (n_targets, TOLD)
    assert min(step.probabilities) == pytest.approx(step.least)


def test_only_what_is_not_yet_good_is_pulled(model: LanguageModel) -> None:
    (learned,) = corrections(model, ("who is she", "my sister ."))
    with torch.no_grad():
        looked = look(model.decoder, [learned])
        shares = (-looked.losses).exp()
        wrong = looked.losses[~looked.right | (shares < 0.1)].sum()
        assert pulled(looked, until=0.1).item() == pytest.approx(wrong.item())
        assert pulled(looked, until=1.0).item() == pytest.approx(looked.losses.sum().item())


def test_momentum_by_hand() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    rule = Momentum([weight], rate=0.5)
    weight.grad = torch.tensor([2.0, -4.0])
    rule.step(1.0)
    assert weight.tolist() == [0.0, 4.0]  # w − 0.5 g
    rule.step(0.1)  # the step is now 0.9 g + g
    assert MOMENTUM == 0.9
    assert weight.tolist() == pytest.approx([-0.19, 4.38])
