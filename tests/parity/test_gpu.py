"""On a CUDA device: the same logits, replies and training as on the CPU, within its rounding."""

from pathlib import Path

import pytest
import torch
from tests.parity.grid import GRID, config_of
from tests.parity.test_forwards import loud, sentence
from tests.small_runs import request, write_dialogues

from nextword.language_model import LanguageModel
from nextword.model import KeyValueCache
from nextword.training.pipeline import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("name", GRID)
def test_logits_are_those_of_the_cpu(name: str) -> None:
    config = config_of(name)
    decoder, ids = loud(config), sentence(config)[None]
    expected = decoder(ids)
    moved = decoder.to("cuda")
    cache = KeyValueCache(config, capacity=ids.shape[1], device="cuda")
    parts = [moved(ids[:, :9].cuda(), cache=cache), moved(ids[:, 9:].cuda(), cache=cache)]
    torch.testing.assert_close(torch.cat(parts, dim=1).cpu(), expected, rtol=1e-3, atol=1e-4)


def test_a_training_on_the_gpu_leaves_a_model_that_replies(tmp_path: Path) -> None:
    settings = {"device": "cuda", "precision": "bfloat16"}
    made = request(write_dialogues(tmp_path / "d.jsonl"), tmp_path / "m", training=settings)
    train(made)
    model = LanguageModel.load(tmp_path / "m", device="cuda")
    assert model.reply("the cat").tokens
