"""The end of a run: what the model learned, whether it repeats it, and what would mend it."""

import dataclasses
import math
import time

from nextword.data.prepared import Prepared
from nextword.data.samples.splits import whole
from nextword.evaluate.evaluation import ReplyJudgement, judge_replies
from nextword.evaluate.exact_replies import AnswerScores, count_answers, given_pairs, known_replies
from nextword.evaluate.memorization import measure_parroting
from nextword.evaluate.metrics import Scores
from nextword.evaluate.scoring import score
from nextword.training.loop.rounds import PHRASINGS, SCORES
from nextword.training.loop.trainer import Trainer
from nextword.training.report.advice import Numbers, advise
from nextword.training.report.summary import Trained, loss_share

REPLIES_JUDGED = 200  # prompts at the end of a run, of what is held out (or of the data)
MOST_TRAINING = 50_000  # tokens of the training text that are predicted; enough for 2 digits
PARROT_SHARE = 0.01  # of the time spent in steps, for speaking, and as much again for searching


def judge_run(data: Prepared, trainer: Trainer, *, minutes_needed: float | None = None) -> Trained:
    """Measure a model that has taken its last step, within the time left where that is limited.

    Args:
        data, trainer: what it learned, and how.
        minutes_needed: about how many would suffice, where the time given did not.
    """
    with trainer.own_precision():
        measured = _answers(data, trainer) if data.aim == "answers" else _predictions(data, trainer)
    trained = dataclasses.replace(
        measured,
        folder=trainer.run.folder,
        steps=trainer.step,
        overlap=data.overlap,
        seconds=trainer.pace.seconds,
        minutes_needed=minutes_needed,
    )
    return dataclasses.replace(trained, advice=advise(numbers_of(trained, trainer)))


def _predictions(data: Prepared, trainer: Trainer) -> Trained:
    """Measure what is held out, and whether the model repeats its texts."""
    scores = trainer.final_scores()
    learned = None if scores is None else training_loss(data, trainer, scores)
    parroting = measure_parroting(trainer.decoder, data, seconds=_seconds(trainer))
    judged = _replies(data, trainer)
    return Trained(
        scores=scores,
        replies=None if judged is None else judged.scores,
        n_no_room=0 if judged is None else judged.n_left_out,
        training_loss=learned,
        parroting=parroting,
    )


def _answers(data: Prepared, trainer: Trainer) -> Trained:
    """Count the given replies that are exact; other phrasings were measured before, or are now."""
    decoder, tokenizer = trainer.decoder, data.tokenizer
    context, until = decoder.config.context_length, trainer.pace.ends
    given = given_pairs(data.shards, whole(data.shards), context=context)
    phrasings, scores, step = None, None, None
    if PHRASINGS in trainer.findings:
        found = dict(trainer.findings[PHRASINGS])
        step = found.pop("step")
        phrasings, scores = AnswerScores(**found), Scores(**trainer.findings[SCORES])
    elif data.held_out is not None:
        scores = trainer.final_scores()
        shards, part = data.held_out
        asked = known_replies(given_pairs(shards, part, context=context), given)
        phrasings = count_answers(decoder, tokenizer, asked, until=until)
    return Trained(
        scores=scores,
        answers=count_answers(decoder, tokenizer, given, until=until),
        phrasings=phrasings,
        held_out_until=step,
    )


def training_loss(data: Prepared, trainer: Trainer, held_out: Scores) -> float:
    """The loss on as many tokens of the training text as were held out, measured as those were.

    Nats per token, of the first samples of the first epoch, without dropout and without talks; of
    about MOST_TRAINING tokens where more were held out.
    """
    samples = data.samples(seed=trainer.training.seed, learn=trainer.training.learn)
    carrying = samples.context_length * loss_share(samples)  # tokens of a sample
    count = math.ceil(min(held_out.n_tokens, MOST_TRAINING) / carrying)
    return score(trainer.decoder, samples, limit=count).loss


def numbers_of(trained: Trained, trainer: Trainer) -> Numbers:
    """What the advice on a run follows from."""
    tokens = trainer.step * trainer.training.batch_size * trainer.samples.context_length
    lowest_at, rise = curve_end(trainer)
    scores, parroting, replies = trained.scores, trained.parroting, trained.replies
    answers, phrasings = trained.answers, trained.phrasings
    return Numbers(
        given=answers.exact if answers is not None and answers.n_pairs else None,
        given_ended=answers.ended if answers is not None and answers.n_pairs else None,
        n_no_room=no_room(trained),
        n_shared=0 if trained.overlap is None else trained.overlap.documents,
        n_compared=0 if trained.overlap is None else trained.overlap.n_documents,
        n_too_long=0 if answers is None else answers.n_too_long,
        n_contradictory=0 if answers is None else answers.n_contradictory,
        n_phrasings=0 if phrasings is None else phrasings.n_pairs,
        phrasings=0.0 if phrasings is None else phrasings.exact,
        minutes_needed=trained.minutes_needed,
        n_held_out=0 if scores is None else scores.n_tokens,
        held_out_loss=0.0 if scores is None else scores.loss,
        training_loss=trained.training_loss or 0.0,
        copied=0.0 if parroting is None else parroting.copied,
        usual=0.0 if parroting is None else parroting.usual,
        exact=None if replies is None else replies.exact,
        stopped=None if replies is None else replies.stopped,
        per_parameter=tokens / trainer.decoder.n_parameters,
        lowest_at=lowest_at,
        rise=rise,
    )


def no_room(trained: Trained) -> int:
    """Return how many replies could not be measured for want of room, where none could."""
    answers = trained.answers
    if answers is not None:
        return 0 if answers.n_pairs else answers.n_too_long
    return trained.n_no_room if trained.replies is None else 0


def curve_end(trainer: Trainer) -> tuple[int, float]:
    """Where the held-out loss was lowest on the way, and by what share it rose since.

    The last measurement of a run is over more text than those on the way, so it does not count.
    """
    curve = [
        (line["held_out_loss"], line["step"])
        for line in trainer.run.metrics()
        if line.get("held_out_loss") is not None and line["step"] < trainer.step
    ]
    if not curve:
        return 0, 0.0
    lowest, step = min(curve)
    return step, curve[-1][0] / max(lowest, 1e-9) - 1


def _seconds(trainer: Trainer) -> float:
    """How long to look whether it parrots; infinite where the steps are fixed."""
    if trainer.pace.ends is None:
        return math.inf
    left = max(trainer.pace.ends - time.monotonic(), 0.0)
    return min(PARROT_SHARE * trainer.pace.seconds, left / 2)


def _replies(data: Prepared, trainer: Trainer) -> ReplyJudgement | None:
    """How replies to prompts that were held out (or learned) compare with the data's."""
    if not data.is_dialogue:
        return None
    shards, part = data.held_out or (data.shards, data.train)
    return judge_replies(
        trainer.decoder,
        data.tokenizer,
        shards,
        part=part,
        most=REPLIES_JUDGED,
        until=trainer.pace.ends,
    )
