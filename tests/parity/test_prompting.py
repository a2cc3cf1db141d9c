"""Folders of other families: the same ids, losses and replies as transformers has.

The models are small, but trained: a random one would say little of a wrong start or template.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from tests.parity import foreign_models as made
from tests.parity.foreign_models import DIALOGUES, SENTENCES

from nextword.cli.main import main
from nextword.data.corpus import open_corpus
from nextword.data.shards.token_shards import prepare
from nextword.evaluate.evaluation import judge
from nextword.language_model import LanguageModel
from nextword.serve.routes.routes_model import read_ids
from nextword.serve.schemas import Read

CLOSE = 1e-4
TURNS = [DIALOGUES[0][0], DIALOGUES[0][1], DIALOGUES[1][0]]


@dataclass
class Both:
    """A folder, opened by both."""

    folder: Path
    ours: LanguageModel
    model: Any
    tokenizer: Any

    def loss(self, ids: list[int], *, wanted: list[bool] | None = None) -> float:
        """The mean loss of transformers over ids, or over those that are wanted."""
        row = torch.tensor([ids])
        labels = row.clone()
        if wanted is not None:
            labels[0, ~torch.tensor(wanted)] = -100
        with torch.no_grad():
            return float(self.model(input_ids=row, labels=labels).loss)

    def reply(self, ids: list[int]) -> str:
        """The greedy continuation of transformers."""
        row = torch.tensor([ids])
        with torch.no_grad():
            found = self.model.generate(
                row, attention_mask=torch.ones_like(row), max_new_tokens=40, do_sample=False
            )
        return str(self.tokenizer.decode(found[0, len(ids) :], skip_special_tokens=True))

    def chat(self, turns: list[str], *, reply_starts: bool) -> list[int]:
        """The ids of `apply_chat_template`."""
        messages = [
            {"role": ("user", "assistant")[place % 2], "content": turn}
            for place, turn in enumerate(turns)
        ]
        found = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=reply_starts, return_dict=True
        )
        return list(found["input_ids"])


@pytest.fixture(scope="module")
def transformers() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield pytest.importorskip("transformers", reason="the oracle is not installed")


def opened(transformers: Any, folder: Path, model: Any, tokenizer: Any, ends: list[int]) -> Both:
    made.saved(folder, model, tokenizer, ends=ends)
    return Both(
        folder,
        LanguageModel.load(folder),
        transformers.AutoModelForCausalLM.from_pretrained(folder).eval(),
        transformers.AutoTokenizer.from_pretrained(folder),
    )


@pytest.fixture(scope="module", params=["sentencepiece", "byte level", "byte level, eos"])
def text_model(
    transformers: Any, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Both:
    """A model of sentences; its tokenizer puts <s> before a text, or </s> behind it, too."""
    sentencepiece = request.param == "sentencepiece"
    backend = (
        made.sentencepiece_like()
        if sentencepiece
        else made.byte_level(bos=True, eos=request.param.endswith("eos"))
    )
    tokenizer = made.wrapped(transformers, backend)
    end = tokenizer.eos_token_id
    rows = [tokenizer(text)["input_ids"] for text in SENTENCES]
    rows = [row if row[-1] == end else [*row, end] for row in rows]
    model = made.trained(transformers, rows, len(tokenizer), pad=end)
    return opened(transformers, tmp_path_factory.mktemp("text"), model, tokenizer, [end])


@pytest.fixture(scope="module", params=["chatml", "instruct"])
def chat_model(
    transformers: Any, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Both:
    """A model of dialogues in a format of its own, which ends replies in its own way."""
    chatml = request.param == "chatml"
    backend = made.byte_level(bos=True) if chatml else made.sentencepiece_like()
    template = made.CHATML if chatml else made.INSTRUCT
    tokenizer = made.wrapped(transformers, backend, template=template)
    talks = [list(pair) for pair in DIALOGUES] + [[*TURNS, DIALOGUES[1][1]]]
    folder = tmp_path_factory.mktemp("chat")
    both = Both(folder, None, None, tokenizer)  # type: ignore[arg-type]
    rows = [both.chat(turns, reply_starts=False) for turns in talks]
    end = tokenizer.eos_token_id
    model = made.trained(transformers, rows, len(tokenizer), pad=end)
    ends = [end, tokenizer.convert_tokens_to_ids("<|im_end|>")] if chatml else [end]
    return opened(transformers, folder, model, tokenizer, ends)


class TestTexts:
    def test_the_same_ids_and_losses(self, text_model: Both) -> None:
        end = text_model.tokenizer.eos_token_id
        for text in (*SENTENCES, "the blue owl\n\nsleeps", "x", " an  owl ", "漢 é🏳️‍🌈"):
            ids = text_model.tokenizer(text)["input_ids"]
            ids = ids[:-1] if ids[-1] == end else ids  # a text is gone on with: see `text_ids`
            assert text_model.ours.ids(text) == ids
            found = text_model.ours.verdicts(text).loss
            assert found == pytest.approx(text_model.loss(ids), abs=CLOSE)

    def test_it_was_learned_and_the_start_token_matters(self, text_model: Both) -> None:
        ids = text_model.ours.ids(SENTENCES[0])
        assert text_model.loss(ids) < 0.5
        assert abs(text_model.loss(ids[1:]) - text_model.loss(ids)) > 100 * CLOSE

    def test_the_same_reply(self, text_model: Both) -> None:
        for text in SENTENCES:
            beginning = " ".join(text.split()[:3])
            said = text_model.ours.reply(beginning).text
            assert said == text_model.reply(text_model.ours.ids(beginning))
            assert f"{beginning} {said.strip()}" == text

    def test_an_empty_text_is_the_start(self, text_model: Both) -> None:
        assert text_model.ours.ids("") == [text_model.tokenizer.bos_token_id]

    def test_evaluate_measures_the_same_documents(self, text_model: Both, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_text("\n".join(json.dumps({"text": text}) for text in SENTENCES))
        shards = prepare(open_corpus([path]), text_model.ours.tokenizer, tmp_path / "shards")
        end = text_model.ours.tokenizer.end_id
        expected = [id for text in SENTENCES for id in (*text_model.ours.ids(text), end)]
        assert shards.tokens(0, shards.n_tokens).tolist() == expected
        found = judge(text_model.ours.decoder, text_model.ours.tokenizer, shards, replies=0)
        assert found.scores.loss == pytest.approx(text_model.loss(expected), abs=CLOSE)
        n_bytes = sum(len(text.encode()) for text in SENTENCES)
        bits = found.scores.loss * found.scores.n_tokens / math.log(2)
        assert found.scores.bits_per_byte == pytest.approx(bits / n_bytes)


class TestDialogues:
    def test_the_same_ids_and_losses(self, chat_model: Both) -> None:
        for turns in (TURNS[:1], TURNS[:2], TURNS, ["  x ", "é\n漢", "?"], ["a", "b", "c", "d"]):
            ids = chat_model.chat(turns, reply_starts=len(turns) % 2 == 1)
            assert chat_model.ours.ids(turns) == ids
            assert read_ids(chat_model.ours, Read(turns=tuple(turns), mode="dialogue"))[0] == ids
            found = chat_model.ours.verdicts(turns).loss
            assert found == pytest.approx(chat_model.loss(ids), abs=CLOSE)

    def test_the_same_reply(self, chat_model: Both) -> None:
        for prompt, reply in DIALOGUES:
            said = chat_model.ours.reply(prompt)
            assert said.text.strip() == reply
            assert said.text == chat_model.reply(chat_model.chat([prompt], reply_starts=True))
            assert said.finish_reason == "stop"
        assert chat_model.ours.reply(TURNS).text.strip() == DIALOGUES[1][1]

    def test_evaluate_measures_replies_in_the_same_place(
        self, chat_model: Both, tmp_path: Path
    ) -> None:
        path = tmp_path / "a.jsonl"
        pairs = [{"prompt": prompt, "reply": reply} for prompt, reply in DIALOGUES]
        path.write_text("\n".join(map(json.dumps, pairs)))
        ours = chat_model.ours
        shards = prepare(
            open_corpus([path]), ours.tokenizer, tmp_path / "shards", template=ours.chat_template
        )
        found = judge(ours.decoder, ours.tokenizer, shards, replies=None)
        assert found.replies is not None and found.reply_tokens is not None
        scores = found.replies.scores
        assert scores is not None
        assert scores.exact == scores.stopped == 1
        losses = []
        for pair in DIALOGUES:
            whole = chat_model.chat(list(pair), reply_starts=False)
            start = len(chat_model.chat([pair[0]], reply_starts=True))
            ends = ours.tokenizer.end_ids
            stop = next(place for place in range(start, len(whole)) if whole[place] in ends)
            wanted = [start <= place <= stop for place in range(len(whole))]
            losses.append((chat_model.loss(whole, wanted=wanted), stop + 1 - start))
        expected = sum(loss * count for loss, count in losses) / sum(n for _, n in losses)
        assert found.reply_tokens.loss == pytest.approx(expected, abs=CLOSE)

    def test_the_commands_ask_in_the_same_way(self, chat_model: Both, tmp_path: Path) -> None:
        path, folder = tmp_path / "a.jsonl", str(chat_model.folder)
        path.write_text(json.dumps({"prompt": DIALOGUES[0][0], "reply": DIALOGUES[0][1]}))
        run = partial(CliRunner().invoke, main)
        said = json.loads(run(["reply", folder, DIALOGUES[0][0], "--json"]).output)
        prompt = chat_model.chat([DIALOGUES[0][0]], reply_starts=True)
        assert said["reply"].strip() == DIALOGUES[0][1]
        assert said["prompt_tokens"] == len(prompt)
        talk = run(["chat", folder], input="\n".join([TURNS[0], TURNS[2], ""]))
        assert [line.strip() for line in talk.output.splitlines()] == [TURNS[1], DIALOGUES[1][1]]
        found = json.loads(run(["evaluate", folder, str(path), "--json"]).output)
        assert found["replies"]["scores"]["exact"] == 1
        whole = chat_model.chat(list(DIALOGUES[0]), reply_starts=False)
        assert found["n_tokens"] == len(whole)

    def test_a_lesson_teaches_in_the_folder_s_format(self, chat_model: Both) -> None:
        model = LanguageModel.load(chat_model.folder)
        lesson = model.teach([("where does the owl sleep?", "on the quay")])
        assert lesson.outcome == "learned"
        turns = ["where does the owl sleep?", "on the quay"]
        ids = list(lesson.sentences[0].ids)
        whole = chat_model.chat(turns, reply_starts=False)
        assert ids == whole[: len(ids)] and ids[-1] in model.tokenizer.end_ids
        assert model.reply(turns[0]).text.strip() == "on the quay"


def test_training_goes_on_in_the_folder_s_format(
    transformers: Any, chat_model: Both, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "talks.jsonl", tmp_path / "model"
    pairs = [("who calls at night?", "the old owl"), *DIALOGUES]
    path.write_text("\n".join(json.dumps({"prompt": a, "reply": b}) for a, b in pairs))
    options = "--steps 60 --threads 1 --no-tensorboard --quiet --precision float32 --batch 4"
    command = ["train", str(path), "--from", str(chat_model.folder), "--out", str(out)]
    ran = CliRunner().invoke(main, [*command, *options.split()])
    assert ran.exit_code == 0, ran.output
    assert (out / "chat_template.jinja").read_text() == chat_model.ours.chat_template
    theirs = Both(
        out,
        LanguageModel.load(out),
        transformers.AutoModelForCausalLM.from_pretrained(out).eval(),
        transformers.AutoTokenizer.from_pretrained(out),
    )
    ids = theirs.chat(["who calls at night?"], reply_starts=True)
    assert theirs.ours.ids("who calls at night?") == ids
    assert theirs.reply(ids).strip() == "the old owl"
    assert theirs.ours.reply("who calls at night?").text.strip() == "the old owl"
