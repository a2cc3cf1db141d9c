"""The contributions of an account add up to the logit, in every model."""

import pytest
import torch
from tests.parity.grid import GRID, config_of
from tests.parity.test_forwards import loud, sentence

from nextword.interpret import forward, record
from nextword.interpret.logit_attribution import Account

TOLERANCE = 1e-4


def check(account: Account) -> None:
    """All of it adds up: the contributions to the logit, and every grouping to the total."""
    parts = account.contributions()
    largest = max(abs(part.amount) for part in parts)
    allowed = TOLERANCE * max(abs(account.logit), largest, 1e-3)
    assert abs(account.total - account.logit) <= allowed
    assert sum(part.amount for part in parts) == pytest.approx(account.total, abs=allowed)
    for grouped in (account.by_word(), account.by_head(), account.by_layer(), account.by_kind()):
        assert sum(part.amount for part in grouped) == pytest.approx(account.total, abs=allowed)
        assert len({part.name for part in grouped}) == len(grouped)
    assert len({part.name for part in parts}) == len(parts)


@pytest.mark.parametrize("row", GRID)
@pytest.mark.parametrize("position", [0, 7, 16])
def test_contributions_add_up_to_the_logit(row: str, position: int) -> None:
    config = config_of(row)
    decoder, ids = loud(config), sentence(config)
    trace = record(decoder, ids, keep=())
    with torch.no_grad():
        logits = forward(decoder, ids)[position]
    best = trace.account(position)
    assert best.token_id == int(logits.argmax())
    assert best.logit == pytest.approx(logits.max().item(), rel=1e-4, abs=1e-5)
    check(best)
    plain = trace.account(position, 3)
    assert plain.logit == pytest.approx(logits[3].item(), rel=1e-4, abs=1e-5)
    check(plain)
    against = trace.account(position, 3, 5)
    wanted = (logits[3] - logits[5]).item()
    assert against.logit == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    check(against)


@pytest.mark.parametrize("row", GRID)
@pytest.mark.parametrize("seed", [1, 2])
def test_they_do_in_other_random_models(row: str, seed: int) -> None:
    config = config_of(row)
    trace = record(loud(config, seed=seed), sentence(config, seed=seed + 7, tokens=11), keep=())
    for position in range(11):
        check(trace.account(position, against=seed))
