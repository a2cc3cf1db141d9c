"""What a run writes into the card of its model."""

import dataclasses
from typing import Any

import nextword
from nextword.data.corpus import Corpus
from nextword.data.prepared import Prepared
from nextword.formats.huggingface.model_card import CardFacts
from nextword.training.loop.trainer import Trainer
from nextword.training.report.summary import Trained, machine


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
        n_documents=data.learned.n_documents,
        n_tokens=data.learned.n_tokens,
        learned=config.learn,
        steps=trained.steps,
        tokens_per_step=config.batch_size * data.context,
        optimizer=config.optimizer,
        precision=decoder.precision,
        seconds=trained.seconds,
        machine=machine(decoder),
        has_curves=True,
        nextword=nextword.__version__,
    )
    measured: dict[str, Any] = {}
    if trained.scores is not None:
        measured |= dataclasses.asdict(trained.scores)
        measured["n_held_out_tokens"] = measured.pop("n_tokens")
    measured |= {"training_loss": trained.training_loss, "advice": trained.advice}
    if trained.parroting is not None:
        parroting = trained.parroting
        measured |= {"copied": parroting.copied, "usually_copied": parroting.usual}
        measured["n_outputs"] = parroting.n_outputs
    if trained.replies is not None:
        replies = trained.replies
        measured |= {"exact_replies": replies.exact, "stop_rate": replies.stopped}
        measured["n_asked"] = replies.n_replies
    if trained.answers is not None and trained.answers.n_pairs:
        measured |= {
            "n_given": trained.answers.n_checked,
            "n_given_exact": trained.answers.n_exact,
            "given_ended": trained.answers.ended,
        }
    if trained.phrasings is not None and trained.phrasings.n_pairs:
        measured |= {
            "n_phrasings": trained.phrasings.n_pairs,
            "n_phrasings_right": trained.phrasings.n_exact,
            "held_out_until": trained.held_out_until,
        }
    return dataclasses.replace(known, **measured)
