"""The article to the letter: its formulas in plain numpy, and its two prompts learned by heart."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.small_runs import quick, request

from nextword.interpret.reference import forward
from nextword.language_model import LanguageModel
from nextword.model.decoder import Decoder
from nextword.presets import preset
from nextword.training.pipeline import train

Array = NDArray[np.float64]
TURNS = [["what is nextword", "awesome"], ["nextword is what", "awesome"]]


def article(words: list[int], weights: dict[str, Array]) -> Array:
    """The probability of each next word at each position, by the article's sentences in order.

    Args:
        words: numbers in the dictionary.
        weights: the article's matrices: embedding, Mq, Mk, Mv, and the fully connected layer.
    """
    width = weights["embedding"].shape[1]
    rows = []
    word_vectors = [weights["embedding"][word] + encoding(i, width) for i, word in enumerate(words)]
    for i, word_vector in enumerate(word_vectors):
        query_vector = weights["Mq"] @ word_vector
        key_vectors = [weights["Mk"] @ earlier for earlier in word_vectors[: i + 1]]
        value_vectors = [weights["Mv"] @ earlier for earlier in word_vectors[: i + 1]]
        w = softmax(np.array([query_vector @ key_vector for key_vector in key_vectors]))
        vector_with_context = sum(w[j] * value_vectors[j] for j in range(i + 1))
        residual = vector_with_context + word_vector
        rows.append(softmax(weights["layer"] @ residual + weights["layer bias"]))
    return np.array(rows)


def encoding(position: int, width: int) -> Array:
    """Sine and cosine in turn, of ever slower waves (Vaswani et al. 2017)."""
    return np.array(
        [
            (math.sin, math.cos)[d % 2](position / 10000 ** (2 * (d // 2) / width))
            for d in range(width)
        ]
    )


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max())
    return np.asarray(powers / powers.sum())


def matrices(decoder: Decoder) -> dict[str, Array]:
    """The decoder's weights under the article's names."""
    names = {
        "embedding": "token_embedding.weight",
        "Mq": "blocks.0.attention.query.weight",
        "Mk": "blocks.0.attention.key.weight",
        "Mv": "blocks.0.attention.value.weight",
        "layer": "unembedding.weight",
        "layer bias": "unembedding.bias",
    }
    found = dict(decoder.named_parameters())
    assert set(found) == set(names.values())  # the model has nothing that the article has not
    return {name: found[place].detach().double().numpy() for name, place in names.items()}


@pytest.mark.parametrize("width", [2, 3, 7, 16])
@pytest.mark.parametrize(("vocab", "length"), [(5, 1), (11, 2), (23, 7), (31, 13)])
def test_both_forwards_are_the_article_in_numpy(width: int, vocab: int, length: int) -> None:
    decoder = Decoder(
        preset("seed", vocab_size=vocab, context_length=13, d_model=width), seed=width
    ).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # fresh queries and biases are zero, and would hide a wrong score
        decoder.unembedding.bias.normal_(generator=generator)
        decoder.get_parameter("blocks.0.attention.query.weight").normal_(generator=generator)
    draw = np.random.default_rng(vocab)
    words = draw.integers(0, vocab, length)
    expected = article(words.tolist(), matrices(decoder))
    ids = torch.from_numpy(words)
    with torch.no_grad():
        fast = decoder(ids.unsqueeze(0))[0].softmax(dim=-1).numpy()
        readable = forward(decoder, ids).softmax(dim=-1).numpy()
    assert expected.sum(axis=1) == pytest.approx(np.ones(length))
    np.testing.assert_allclose(fast, expected, atol=1e-5)
    np.testing.assert_allclose(readable, expected, atol=1e-5)


def learned(folder: Path, *, seed: int = 0) -> LanguageModel:
    """The article's model, trained on its two dialogues."""
    data = folder / "article.jsonl"
    pairs = [{"prompt": prompt, "reply": reply} for prompt, reply in TURNS]
    data.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    training = {"batch_size": 1, "evaluate_every": 0, "checkpoint_every": 0, "seed": seed}
    train(
        request(
            data,
            folder / "model",
            preset="seed",
            model={},
            context=16,
            held_out=0.0,
            steps=100,
            training=training,
        )
    )
    return LanguageModel.load(folder / "model")


def test_the_articles_prompts_are_learned_until_every_next_word_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    lm = learned(tmp_path)
    for turns in TURNS:
        verdicts = lm.verdicts(turns)
        assert len(verdicts.judged) == 5  # of what is nextword <end> awesome <end>
        assert verdicts.n_right == 5
        assert verdicts.loss is not None and verdicts.loss < 0.2
        reply = lm.reply(turns[0])
        assert (reply.text.strip(), reply.finish_reason) == ("awesome", "stop")


@pytest.mark.parametrize("seed", range(4))
def test_another_reply_is_taught_for_one_of_the_prompts_only(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both answer awesome; one is taught to answer with another word, and the other does not."""
    quick(monkeypatch)
    lm = learned(tmp_path, seed=seed)
    (taught, _), (other, _) = TURNS
    before = [verdict.predicted.token_id for verdict in lm.verdicts([other, "awesome"]).judged]
    lesson = lm.teach([(taught, "what")])
    assert lesson.learned, lesson.why
    assert lm.reply(taught).text.strip() == "what"
    assert lm.reply(other).text.strip() == "awesome"
    after = [verdict.predicted.token_id for verdict in lm.verdicts([other, "awesome"]).judged]
    assert after == before
    lesson.undo()
    assert lm.reply(taught).text.strip() == "awesome"
