"""What a run says of itself: at its start, at its end, and in the model's folder."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import nextword
from nextword.folder.card import CardFacts
from nextword.learn.data import Prepared
from nextword.learn.evaluate import ReplyScores
from nextword.learn.picture import Series, curves_svg
from nextword.learn.plan import Plan
from nextword.learn.request import TrainRequest
from nextword.learn.run import Run
from nextword.learn.scores import Scores
from nextword.learn.trainer import Trainer
from nextword.machine import processor_name
from nextword.model.decoder import Decoder
from nextword.text.corpus import Corpus

CURVES = {"training": "loss", "held-out": "held_out_loss"}  # name → its key in metrics.jsonl


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a finished run left.

    Attributes:
        folder: the model's.
        steps, seconds: how long it learned.
        scores: on what was held out; None where nothing was.
        replies: how its replies compare; None for plain text.
        already: whether the run had been finished before.
    """

    folder: Path
    steps: int
    seconds: float
    scores: Scores | None
    replies: ReplyScores | None
    already: bool = False

    def lines(self) -> list[str]:
        """The result in a few plain lines."""
        lines = []
        if self.scores is not None:
            bits = self.scores.bits_per_byte
            lines.append(
                f"held-out loss {self.scores.loss:.4f}"
                + ("" if bits is None else f", bits per byte {bits:.4f}")
                + f", next word right {self.scores.top1:.1%}, in top 5 {self.scores.top5:.1%}"
            )
        if self.replies is not None:
            lines.append(
                f"of {self.replies.n_replies} replies {self.replies.exact:.1%} are word for word "
                f"the data's, {self.replies.stopped:.1%} ended by the end token"
            )
        lines.append(f"model saved in {self.folder}")
        return lines


def facts(
    request: TrainRequest, corpus: Corpus, data: Prepared, plan: Plan, decoder: Decoder
) -> list[tuple[str, str]]:
    """What is printed first, as names and values: data, model, budget, batch, machine."""
    config, model, shards = plan.training, plan.model, data.shards
    held = "none" if data.held_out is None else f"{data.held_out[1].n_tokens:,} tokens"
    heads = "1 head" if model.n_heads == 1 else f"{model.n_heads} heads"
    return [
        *(("data", line) for line in corpus.describe()),
        ("", f"{shards.n_documents:,} documents, {shards.n_tokens:,} tokens; held out: {held}"),
        ("tokenizer", f"{data.tokenizer.kind}, {data.tokenizer.vocab_size:,} tokens"),
        (
            "model",
            f"{request.preset}: {model.n_layers} × {model.d_model}, {heads}, context "
            f"{model.context_length}, {decoder.n_parameters:,} parameters",
        ),
        ("budget", "; ".join(plan.why) or f"{config.steps:,} steps"),
        (
            "batch",
            f"{config.batch_size} × {model.context_length} tokens, {config.optimizer}, "
            f"learn {config.learn}",
        ),
        ("machine", machine(decoder)),
    ]


def machine(decoder: Decoder) -> str:
    """Where a decoder computes, and in which precision."""
    precision = str(decoder.compute_dtype).removeprefix("torch.")
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


def card_facts(corpus: Corpus, data: Prepared, trainer: Trainer, trained: Trained) -> CardFacts:
    """What the model card says; only what was measured."""
    config, decoder = trainer.training, trainer.decoder
    known = CardFacts(
        name=trained.folder.resolve().name,
        kind="dialogue" if data.is_dialogue else "text",
        config=decoder.config,
        n_parameters=decoder.n_parameters,
        tokenizer=data.tokenizer.kind,
        sources=tuple(corpus.describe()),
        n_documents=data.train.n_documents,
        n_tokens=data.train.n_tokens,
        learned=config.learn,
        steps=trained.steps,
        tokens_per_step=config.batch_size * decoder.config.context_length,
        optimizer=config.optimizer,
        precision=str(decoder.compute_dtype).removeprefix("torch."),
        seconds=trained.seconds,
        machine=machine(decoder),
        has_curves=True,
        nextword=nextword.__version__,
    )
    measured: dict[str, Any] = {}
    if trained.scores is not None:
        measured |= dataclasses.asdict(trained.scores)
        measured["n_held_out_tokens"] = measured.pop("n_tokens")
    if trained.replies is not None:
        replies = trained.replies
        measured |= {"exact_replies": replies.exact, "stop_rate": replies.stopped}
        measured["n_asked"] = replies.n_replies
    return dataclasses.replace(known, **measured)
