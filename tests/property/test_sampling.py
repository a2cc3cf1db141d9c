"""Laws of sampling and of stop strings, on drawn cases."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nextword.config import ReplyConfig
from nextword.generate.sampling import choose, probabilities, seeded
from nextword.generate.stop_strings import StopAt

LOGITS = st.lists(st.integers(-9, 9).map(lambda n: n / 2), min_size=1, max_size=23)
RULES = st.builds(
    ReplyConfig,
    temperature=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    top_k=st.integers(0, 25),
    top_p=st.floats(0.01, 1.0),
    min_p=st.floats(0.0, 1.0),
    repetition_penalty=st.sampled_from([0.5, 1.0, 2.0]),
    seed=st.integers(0, 2**32),
)


def by_hand(logits: list[float], config: ReplyConfig, previous: list[int]) -> list[float]:
    """The rules in plain Python, one token at a time."""
    scores = list(logits)
    for i in set(previous):
        penalty = config.repetition_penalty
        scores[i] = scores[i] / penalty if scores[i] > 0 else scores[i] * penalty
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    if config.temperature == 0:
        return [float(i == order[0]) for i in range(len(scores))]
    scaled = (torch.tensor(scores, dtype=torch.float64) / config.temperature).softmax(0).tolist()
    order = order[: config.top_k or None]
    total, reached, kept = sum(scaled[i] for i in order), 0.0, []
    for i in order:
        kept.append(i)
        reached += scaled[i] / total
        if reached >= config.top_p - 1e-12:
            break
    kept = [i for i in kept if scaled[i] >= config.min_p * scaled[order[0]] * (1 - 1e-12)]
    left = sum(scaled[i] for i in kept)
    return [scaled[i] / left if i in kept else 0.0 for i in range(len(scores))]


@settings(max_examples=150, deadline=None)
@given(LOGITS, RULES, st.data())
def test_the_rules_are_those_done_by_hand(
    logits: list[float], config: ReplyConfig, data: st.DataObject
) -> None:
    previous = data.draw(st.lists(st.integers(0, len(logits) - 1), max_size=5))
    result = probabilities(torch.tensor(logits), config, previous)
    expected = torch.tensor(by_hand(logits, config, previous), dtype=torch.float64)
    torch.testing.assert_close(result, expected, rtol=1e-9, atol=1e-12)
    assert result[choose(torch.tensor(logits), config, previous, seeded(config.seed))] > 0


@settings(max_examples=100, deadline=None)
@given(LOGITS, st.integers(0, 2**32))
def test_half_precision_logits_follow_the_same_rules(logits: list[float], seed: int) -> None:
    config = ReplyConfig(temperature=1.0, top_k=5, top_p=0.8, seed=seed)
    exact = torch.tensor(logits)  # halves up to 4.5: the same numbers in bfloat16
    one = choose(exact, config, [], seeded(seed))
    assert one == choose(exact.bfloat16(), config, [], seeded(seed))


def stopped(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    stop = StopAt(stops)
    shown = "".join(stop.push(piece)[0] for piece in pieces)
    return shown + stop.finish(), stop.done


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
    st.lists(st.text("abc", max_size=5), max_size=6),
)
def test_stop_strings_do_not_depend_on_the_pieces(stops: list[str], pieces: list[str]) -> None:
    whole = "".join(pieces)
    shown, done = stopped(stops, pieces)
    assert (shown, done) == stopped(stops, list(whole))
    assert done == any(stop in whole for stop in stops)
    assert whole.startswith(shown)
    assert not any(stop in shown for stop in stops)
    if not done:
        assert shown == whole
