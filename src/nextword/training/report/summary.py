"""What a run says of itself: at its start, at its end, and in the model's folder."""

import dataclasses
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import nextword
from nextword.common.formatting import count
from nextword.common.text_format import share
from nextword.data.corpus import Corpus
from nextword.data.prepared import Prepared
from nextword.data.samples.datasets import NO_TARGET, Samples
from nextword.data.samples.split_by_content import Overlap
from nextword.evaluate.exact_replies import AnswerScores
from nextword.evaluate.memorization import LENGTH, Parroting
from nextword.evaluate.metrics import Scores
from nextword.evaluate.scoring import ReplyScores
from nextword.hardware import processor_name
from nextword.model.decoder import Decoder
from nextword.training.data.data_summary import data_facts
from nextword.training.loop.trainer import Trainer
from nextword.training.plan.plan import Plan
from nextword.training.report.loss_chart import Series, curves_svg
from nextword.training.request import TrainRequest
from nextword.training.run.run_dir import Run

ROWS_COUNTED = 256  # to tell how many positions carry loss
AIMS = {
    "answers": "answers: every reply that was given is learned, then other phrasings of prompts",
    "generalize": "generalize: the lowest loss on what is held out",
}
CURVES = {"training": "loss", "held-out": "held_out_loss"}  # name → its key in metrics.jsonl


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a finished run left.

    Attributes:
        folder: the model's.
        steps, seconds: how long it learned.
        scores: on what was held out; None where nothing was.
        replies: how replies to what was held out compare; None for plain text, and where the aim
            is to answer.
        n_no_room: held-out prompts that leave no room for a reply in the context.
        overlap: how much of what was held out stands in training, too; None: nothing was held out,
            or the run was finished before this was counted.
        training_loss: measured as the held-out loss was, on as much of the training text.
        parroting: how much of what it says stands in the training text; None: not measured.
        advice: what would make it better, and on what grounds (docs/advice.md).
        answers: how many of the given replies it gives; None unless the aim is to answer.
        phrasings: the same for other phrasings of what it learned; None where there were none.
        held_out_until: the step after which the held-out part was measured, and then learned, too;
            None: it never was.
        minutes_needed: about how many would suffice to learn every reply, where the time did not.
        already: whether the run had been finished before.
    """

    folder: Path = Path()
    steps: int = 0
    seconds: float = 0.0
    scores: Scores | None = None
    replies: ReplyScores | None = None
    n_no_room: int = 0
    overlap: Overlap | None = None
    training_loss: float | None = None
    parroting: Parroting | None = None
    advice: str | None = None
    answers: AnswerScores | None = None
    phrasings: AnswerScores | None = None
    held_out_until: int | None = None
    minutes_needed: float | None = None
    already: bool = False

    def summary(self) -> dict[str, Any]:
        """What is kept with the run, as plain JSON."""
        values = dataclasses.asdict(self)
        del values["folder"], values["already"]
        return values

    @classmethod
    def earlier(cls, run: Run) -> "Trained":
        """What a run that had been finished before left.

        Raises:
            RunError: its summary is damaged.
        """
        kept = run.summary or {}
        parts: dict[str, Any] = {
            "scores": Scores,
            "replies": ReplyScores,
            "parroting": Parroting,
            "answers": AnswerScores,
            "phrasings": AnswerScores,
            "overlap": Overlap,
        }
        try:
            for name, make in parts.items():
                kept[name] = None if kept.get(name) is None else make(**kept[name])
            if kept["replies"] is not None and not kept["replies"].n_replies:
                kept["replies"] = None  # shares of nothing, as earlier versions kept them
            return cls(folder=run.folder, already=True, **kept)
        except TypeError as error:  # a name that is none of its
            raise run.damaged_summary(error) from error

    def lines(self) -> list[str]:
        """The result in a few plain lines."""
        lines = [*self._answers(), *self._predictions(), *self._speech()]
        if self.advice is not None:
            lines.append(f"advice: {self.advice}")
        return [*lines, f"model saved in {self.folder}"]

    def _answers(self) -> Iterator[str]:
        """What the person came for: is what they gave answered?"""
        answers, phrasings = self.answers, self.phrasings
        if answers is None:
            return
        if not answers.n_pairs:
            yield "no reply could be measured"
        else:
            yield self._given(answers)
        if answers.n_unchecked:
            yield f"not checked, since the time was over: {answers.n_unchecked:,} replies"
        if answers.n_contradictory:
            yield (
                f"not counted: {answers.n_contradictory:,} replies to prompts that stand with "
                "different replies"
            )
        if answers.n_too_long:
            yield f"not counted: {answers.n_too_long:,} replies that do not fit into the context"
        if phrasings is not None and phrasings.n_pairs:
            when = ""
            if self.held_out_until is not None:
                when = (
                    f" (by the model after step {self.held_out_until:,}; "
                    "they were learned after that)"
                )
            yield (
                f"of {phrasings.n_pairs:,} other phrasings {phrasings.n_exact:,} answered right"
                f"{when}"
            )

    @staticmethod
    def _given(answers: AnswerScores) -> str:
        """How many of the given replies it gives."""
        line = f"{answers.n_exact:,} of {answers.n_checked:,} replies as given"
        if answers.n_likely:
            line += f" and {answers.n_likely:,} more likely, which there was no time to generate"
        ended = f"{answers.n_ended:,}"
        if answers.n_generated < answers.n_pairs:
            ended += f" of {answers.n_generated:,} that were generated"
        return f"{line}, {ended} ended by the end token"

    def _predictions(self) -> Iterator[str]:
        if self.scores is None:
            return
        bits = self.scores.bits_per_byte
        yield (
            f"held-out loss {self.scores.loss:.4f}"
            + ("" if bits is None else f", bits per byte {bits:.4f}")
            + f", next word right {self.scores.top1:.1%}, in top 5 {self.scores.top5:.1%}"
        )
        if self.training_loss is not None:
            yield f"training loss {self.training_loss:.4f}, measured in the same way"
        yield from self._shared()

    def _shared(self) -> Iterator[str]:
        """What the held-out scores mean, where some of what was held out was learned, too."""
        found = self.overlap
        if found is None:
            return
        if found.documents:
            yield (
                f"{found.documents:,} of {found.n_documents:,} held-out documents stand in "
                "training, too: of these the scores measure what was memorized"
            )
        replies = found.replies - found.documents
        if self.replies is not None and replies:
            yield (
                f"{replies:,} of {found.n_documents:,} held-out dialogues have replies that stand "
                "in training after other prompts: of these they measure other phrasings"
            )

    def _speech(self) -> Iterator[str]:
        if self.parroting is not None:
            found, rest = self.parroting, ""
            whole = "" if self.replies is None else " or a whole reply"
            if found.searched < 1:
                rest = f"; {share(found.searched)} of the text was searched"
            yield (
                f"of {found.n_outputs} outputs of {LENGTH} tokens{whole} {found.copied:.0%} stand "
                f"word for word in the training text (of real text {found.usual:.0%}{rest})"
            )
        if self.n_no_room and self.replies is None:
            yield (
                f"no reply could be measured: none of {self.n_no_room:,} prompts leaves room for "
                "one in the context"
            )
        elif self.n_no_room:
            yield f"not counted: {self.n_no_room:,} prompts that leave no room for a reply"
        if self.replies is not None:
            yield (
                f"of {self.replies.n_replies} replies {self.replies.exact:.1%} are word for word "
                f"the data's, {self.replies.stopped:.1%} ended by the end token"
            )


def facts(
    request: TrainRequest, corpus: Corpus, data: Prepared, plan: Plan, trainer: Trainer
) -> list[tuple[str, str]]:
    """What is printed first, as names and values: data, model, budget, batch, machine."""
    config, model, decoder = plan.training, plan.model, trainer.decoder
    heads = count(model.n_heads, "head")
    return [
        *(("data", line) for line in corpus.describe()),
        *data_facts(data, trainer.samples),
        ("tokenizer", f"{data.tokenizer.kind}, {data.tokenizer.vocab_size:,} tokens"),
        (
            "model",
            f"{request.start or request.preset}: {model.n_layers} × {model.d_model}, {heads}, "
            f"context {model.context_length}, {decoder.n_parameters:,} parameters",
        ),
        ("aim", AIMS[plan.aim]),
        ("budget", "; ".join(plan.why)),
        (
            "batch",
            f"{config.batch_size} × {data.context} tokens, {config.optimizer}, "
            f"learn {config.learn}, {share(loss_share(trainer.samples))} of positions carry loss",
        ),
        ("machine", machine(decoder)),
        *([] if plan.backend is None else [("computed in", plan.backend.reason)]),
    ]


def loss_share(samples: Samples) -> float:
    """The share of positions that carry loss, 0 … 1, in the first rows."""
    targets = samples.batch(0, min(samples.n_samples(0), ROWS_COUNTED))[1]
    return float((targets != NO_TARGET).mean())


def versions() -> dict[str, str]:
    """What computes, to the version."""
    return {
        "nextword": nextword.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def machine(decoder: Decoder) -> str:
    """Where a decoder computes, and in which precision."""
    precision = decoder.precision
    if decoder.device.type == "cuda":
        return f"{torch.cuda.get_device_name(decoder.device)}, {precision}"
    threads = torch.get_num_threads()
    return f"{processor_name()}, {threads} thread{'s' if threads > 1 else ''}, {precision}"


def curves(run: Run) -> str:
    """The picture of training and held-out loss, as SVG."""
    metrics = run.metrics()
    series = [
        Series(
            name,
            [(line["step"], line[key]) for line in metrics if line.get(key) is not None],
            noisy=key == "loss",
        )
        for name, key in CURVES.items()
    ]
    title = run.folder.resolve().name
    return curves_svg(series, title=title, x_label="step", y_label="loss, nats per token")
