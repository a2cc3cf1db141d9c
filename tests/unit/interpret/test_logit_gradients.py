"""The gradient of a logit, against differences of logits."""

import pytest
import torch
from tests.parity.grid import config_of
from tests.parity.test_forwards import loud, sentence

from nextword.errors import ConfigError, LossError
from nextword.interpret import forward, points_of, record
from nextword.interpret.trace import Trace
from nextword.model import Decoder

CONFIG = config_of("gpt2")
IDS = sentence(CONFIG, tokens=5)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return loud(CONFIG)


@pytest.fixture(scope="module")
def trace(decoder: Decoder) -> Trace:
    return record(decoder, IDS, keep=())


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("token_embedding", (2, 3)),
        ("blocks.0.attention.query", (1, 3, 7)),
        ("blocks.0.attention.value", (2, 0, 5)),
        ("blocks.1.attention.attention_weights", (0, 3, 1)),
        ("blocks.1.feed_forward.hidden", (3, 11)),
        ("final_norm", (3, 19)),
    ],
)
def test_a_small_change_does_what_the_gradient_says(
    decoder: Decoder, trace: Trace, name: str, place: tuple[int, ...]
) -> None:
    found = trace.gradients([name], position=3, token=7, against=2)
    assert found[name].shape == points_of(CONFIG)[name].sizes(CONFIG, 5)

    def difference(step: float) -> float:
        def nudge(point: str, value: torch.Tensor) -> torch.Tensor:
            if point == name:
                value = value.clone()
                value[place] += step
            return value

        with torch.no_grad():
            row = forward(decoder, IDS, nudge)[3].double()
        return (row[7] - row[2]).item()

    step = 1e-2
    slope = (difference(step) - difference(-step)) / (2 * step)
    assert found[name][place].item() == pytest.approx(slope, rel=2e-2, abs=2e-3)


def test_all_points_have_one_and_later_words_have_none(decoder: Decoder, trace: Trace) -> None:
    found = trace.gradients(["*"], position=2)
    assert list(found) == list(points_of(CONFIG))
    assert all(value.isfinite().all() for value in found.values())
    assert found["residual"][3:].abs().max() == 0  # what comes later changes nothing
    assert found["residual"][:3].abs().min(dim=1).values.min() > 0
    assert found["probabilities"].abs().max() == 0  # they come after the logits
    best = int(trace.logits([2])[0].argmax())
    assert found["logits"].nonzero().tolist() == [[2, best]]
    assert all(parameter.grad is None for parameter in decoder.parameters())


def test_frozen_weights_and_inference_mode_make_no_difference(trace: Trace) -> None:
    wanted = trace.gradients(["token_embedding"], token=4)["token_embedding"]
    frozen = loud(CONFIG).requires_grad_(requires_grad=False)
    with torch.inference_mode():
        other = record(frozen, IDS.clone(), keep=())
        found = other.gradients(["token_embedding"], token=4)["token_embedding"]
    torch.testing.assert_close(found, wanted)


def test_what_there_is_not_is_refused(trace: Trace) -> None:
    with pytest.raises(ConfigError, match="there is no token 101; ids are 0 to 100"):
        trace.gradients(["residual"], token=101)
    with pytest.raises(ConfigError, match="position is 5"):
        trace.gradients(["residual"], position=5)
    with pytest.raises(ConfigError, match="unknown point"):
        trace.gradients(["residual_mid"])
    broken = loud(CONFIG)
    with torch.no_grad():
        broken.token_embedding.weight.fill_(float("nan"))
    with pytest.raises(LossError, match="not finite"):
        record(broken, IDS, keep=()).gradients(["residual"])
