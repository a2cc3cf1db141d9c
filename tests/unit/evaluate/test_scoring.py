"""Scores against plain numpy, bits per byte where every byte is known, and replies compared."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.small_runs import write_dialogues
from torch import Tensor

from nextword.data.corpus import open_corpus
from nextword.data.samples.datasets import Windows
from nextword.data.samples.packed_dialogues import Rows
from nextword.data.samples.splits import whole
from nextword.data.shards.token_shards import Shards, prepare
from nextword.evaluate.evaluation import judge_replies
from nextword.evaluate.scoring import (
    ReplyScores,
    compare_replies,
    prompts_and_replies,
    score,
)
from nextword.model.decoder import Decoder
from nextword.presets import preset
from nextword.tokenizer.tokenizer import Tokenizer


def shards_of(path: Path, kind: str = "words") -> tuple[Shards, Tokenizer]:
    corpus = open_corpus([path])
    texts = [path.read_text()]
    tokenizer = Tokenizer.learn(texts, kind=kind)  # type: ignore[arg-type]
    return prepare(corpus, tokenizer, path.parent / "shards"), tokenizer


def decoder_for(tokenizer: Tokenizer, context: int) -> Decoder:
    config = preset(
        "qwen3", vocab_size=tokenizer.vocab_size, context_length=context, d_model=8, n_heads=2
    )
    decoder = Decoder(config, seed=3)
    with torch.no_grad():
        decoder.unembedding.weight.normal_(generator=torch.Generator().manual_seed(5))
    return decoder


@pytest.mark.parametrize("dialogues", [True, False])
def test_scores_equal_a_plain_numpy_computation(dialogues: bool, tmp_path: Path) -> None:
    path = write_dialogues(tmp_path / ("a.jsonl" if dialogues else "a.txt"), count=25)
    shards, tokenizer = shards_of(path)
    kind = Rows if dialogues else Windows
    samples = kind(shards, context_length=13, seed=0)
    decoder = decoder_for(tokenizer, 13).eval()
    losses, ranks = [], []
    for index in range(samples.n_samples(0)):
        sample = samples.sample(0, index)
        with torch.no_grad():
            logits = decoder(
                torch.from_numpy(sample.tokens)[None],
                documents=torch.from_numpy(sample.documents)[None],
            )[0].double()
        for row, target in zip(logits.numpy(), sample.targets.tolist(), strict=True):
            if target < 0:
                continue
            shares = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
            losses.append(-math.log(shares[target]))
            ranks.append(int((row > row[target]).sum()))
    found = score(decoder, samples)
    n_bytes = samples.text_bytes(0, samples.n_samples(0))
    if dialogues:  # all text is predicted but the first token of each dialogue
        assert n_bytes == shards.n_bytes - shards.text_bytes(whole(shards).spans[:, 0])
    assert found.n_tokens == len(losses) > 50
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert found.perplexity == pytest.approx(math.exp(np.mean(losses)), rel=1e-5)
    assert found.bits_per_byte == pytest.approx(sum(losses) / math.log(2) / n_bytes, rel=1e-5)
    assert found.top1 == np.mean(np.array(ranks) < 1)
    assert found.top5 == np.mean(np.array(ranks) < 5)


class Even(Decoder):
    """Thinks every token equally likely."""

    def forward(self, token_ids: Tensor, **_: object) -> Tensor:
        return torch.zeros(*token_ids.shape, self.config.vocab_size)


def test_bits_per_byte_of_an_even_guess_over_known_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abababab" * 3)  # 24 bytes, 24 tokens and the end token
    shards, _ = shards_of(tmp_path / "a.txt", kind="characters")
    decoder = Even(preset("qwen3", vocab_size=8, context_length=8, d_model=2, n_heads=1))
    samples = Windows(shards, context_length=8, seed=0)
    found = score(decoder, samples)
    # 25 tokens are 24 predictions, three windows of 8; one of them is the end token, of no bytes
    assert found.n_tokens == 24
    assert found.loss == pytest.approx(math.log(8))
    assert found.bits_per_byte == pytest.approx(24 * 3 / 23)
    uncounted = Windows(Shards(shards.folder), context_length=8, seed=0)
    assert score(decoder, uncounted).bits_per_byte is None


def test_a_rest_shorter_than_a_window_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abababab" * 3)
    shards, _ = shards_of(tmp_path / "a.txt", kind="characters")
    decoder = Even(preset("qwen3", vocab_size=8, context_length=7, d_model=2, n_heads=1))
    samples = Windows(shards, context_length=7, seed=0)
    assert score(decoder, samples).n_tokens == 21  # of 24
    assert score(decoder, samples, limit=2).n_tokens == 14


def test_of_equal_logits_only_the_lowest_id_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ab" * 12)
    shards, tokenizer = shards_of(tmp_path / "a.txt", kind="characters")
    decoder = Even(preset("qwen3", vocab_size=8, context_length=6, d_model=2, n_heads=1))
    found = score(decoder, Windows(shards, context_length=6, seed=0))
    lowest = tokenizer.encode("ab").index(0) if 0 in tokenizer.encode("ab") else None
    assert lowest is not None
    targets = shards.tokens(1, 25)
    assert found.top1 == (targets == 0).mean() < 1
    assert found.top5 == (targets < 5).mean()


def test_dropout_is_off_and_the_mode_comes_back(tmp_path: Path) -> None:
    shards, tokenizer = shards_of(write_dialogues(tmp_path / "a.jsonl", count=25))
    samples = Rows(shards, context_length=13, seed=0)
    decoder = decoder_for(tokenizer, 13).train()
    decoder.dropout = 0.5
    state = torch.get_rng_state()
    first, second = score(decoder, samples), score(decoder, samples)
    assert first == second
    assert torch.equal(torch.get_rng_state(), state)
    assert decoder.training
    decoder.dropout = 0.0
    assert score(decoder.eval(), samples) == first
    assert not decoder.training


def test_every_reply_comes_with_all_that_was_said_before(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"messages": [{"role": "user", "content": "a b"}, {"role": "assistant", "content": "c"},'
        ' {"role": "user", "content": "b"}, {"role": "assistant", "content": "a c"}]}\n'
        '{"messages": [{"role": "user", "content": "c"}, {"role": "assistant", "content": "b"}]}\n'
    )
    tokenizer = Tokenizer.learn(["a b c b a c"], kind="words")
    shards = prepare(open_corpus([path]), tokenizer, tmp_path / "shards")
    end, ids = [tokenizer.end_id], tokenizer.encode
    first = ids("a b") + end
    second = first + ids("c") + end + ids("b") + end
    pairs = prompts_and_replies(shards, whole(shards))
    assert pairs == [
        (first, ids("c") + end),
        (second, ids("a c") + end),
        (ids("c") + end, ids("b") + end),
    ]
    assert prompts_and_replies(shards, whole(shards), limit=2) == pairs[:2]
    decoder = decoder_for(tokenizer, 7)
    judged = judge_replies(decoder, tokenizer, shards)
    assert judged is not None
    assert (judged.n_prompts, judged.n_left_out) == (3, 1)  # the second fills the context
    assert judged.scores is not None and judged.scores.n_replies == 2
    no_room = judge_replies(decoder_for(tokenizer, 2), tokenizer, shards)
    assert no_room is not None
    assert (no_room.scores, no_room.n_prompts, no_room.n_left_out) == (None, 3, 3)


def test_replies_are_compared_token_for_token() -> None:
    end = frozenset({9, 8})
    made = [[1, 2, 9], [1, 9], [1, 2], []]
    wanted = [[1, 2, 9], [1, 2, 9], [1, 2, 9], [1, 9]]
    found = compare_replies(made, wanted, end_ids=end)
    assert found == ReplyScores(exact=0.25, stopped=0.5, n_replies=4)
