"""What the page is given: here, where a word of a model with token shift comes in."""

import torch
from tests.parity.grid import config_of
from tests.parity.test_forwards import loud, sentence

from nextword.interpret import record
from nextword.serve.routes.routes_trace import Tensors, ends
from nextword.serve.schemas import AtPosition


def test_the_parts_of_a_word_vector_add_up() -> None:
    config = config_of("token shift, learned")
    ids = sentence(config, tokens=7)
    trace = record(loud(config), ids, keep=())
    answer = ends(trace, AtPosition(ids=tuple(ids.tolist()), position=5))
    assert isinstance(answer, Tensors)
    found = answer.tensors
    assert list(found)[:4] == ["token_embedding", "token_shift", "position", "residual"]
    assert found["token_shift"].any()
    total = found["token_embedding"] + found["token_shift"] + found["position"]
    torch.testing.assert_close(total, found["residual"])
