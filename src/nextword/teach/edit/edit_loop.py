"""The lesson itself: adjust a copy of the weights until every target is right.

Each step lowers the sum of -log p(right word) over the targets that are not yet good, plus a weight
times how far the predictions moved on a few rehearsed sequences, plus the same sum for earlier
lessons. As soon as all targets are good, it is judged what else the change moves; if that is too
much, the lesson goes on and holds the rehearsal more firmly.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from nextword.hardware import adaptive_threads
from nextword.model.decoder import Decoder
from nextword.teach.config import CLIP, RATES, TeachingConfig
from nextword.teach.edit.correction import Correction
from nextword.teach.edit.edit_optimizers import Method, make_rule, methods
from nextword.teach.edit.rehearsal import Rehearsal
from nextword.teach.edit.reminders import Reminders, chosen
from nextword.teach.edit.targets import Look, look, misses, pulled
from nextword.teach.edit.weight_delta import Apprentice, Change, copy_with, resolve
from nextword.teach.lesson import Locality, Outcome, TeachingStep

TOLD = 64  # probabilities in a step, at most
EARLIER = 8  # earlier lessons in every step, drawn anew
FAILING = 16  # more of them, of those that a change would have undone
FIRMER = 0.1  # how much further than a new target an earlier one is pulled
AGAIN = 5  # steps until a change that moved too much is judged again
MENDING = 20  # steps for earlier lessons and next words elsewhere, once the targets are good
STAYING = 0.99  # share of the next words elsewhere for which it takes these steps
FIRMLY = 2.0  # how much more firmly the rehearsal is held after a change that moved too much
TURNS = (0.0, 0.25, 0.55)  # of the steps, where the methods begin


class Teacher:
    """Teaches a copy of a decoder; the decoder itself is never written to.

    Attributes:
        outcome: once the steps are over.
        change: what was reached, if it is no success, too.
    """

    def __init__(
        self,
        decoder: Decoder,
        corrections: Sequence[Correction],
        rehearsal: Rehearsal,
        config: TeachingConfig,
        *,
        stayed: Callable[[Decoder], Locality],
        changed: Callable[[Decoder], tuple[list[Correction], float]] | None = None,
        anchor: Decoder | None = None,
        earlier: Sequence[Correction] = (),
    ) -> None:
        """Begin a lesson.

        Args:
            decoder: the one to be taught.
            corrections: what is to be learned.
            rehearsal: what must stay, without what the corrections are about.
            config: see there.
            stayed: how much of what is predicted elsewhere a decoder leaves as it is.
            changed: the known replies that a decoder would change, as corrections back to what they
                were, and the share of those that it would not.
            anchor: whose predictions the rehearsal is held to: the decoder from before the first
                of several lessons, so that many small moves do not add up. None: this one.
            earlier: lessons that should still hold.
        """
        self._decoder, self._corrections, self._config = decoder, list(corrections), config
        self._stayed, self._changed, self._earlier = stayed, changed, list(earlier)
        self._scope = resolve(config, decoder)
        self._named = dict(decoder.named_parameters())
        self._reminders = Reminders(
            decoder if anchor is None else anchor, rehearsal,
            count=config.rehearsal_batch, seed=config.seed,
        )  # fmt: skip
        self._stopped = False
        self.outcome: Outcome | None = None
        self.change = Change()
        starts = (math.ceil(share * config.steps) for share in TURNS)
        self._methods = dict(zip(starts, methods(self._scope), strict=False))
        self._begin(self._methods[0])

    def stop(self) -> None:
        """End before the next step; the lesson is then not learned."""
        self._stopped = True

    def steps(self) -> Iterator[TeachingStep]:
        """Every step as it was reached, step 0 before any change; then there is an `outcome`."""
        began = time.perf_counter()
        for number in range(self._config.steps + 1):
            looked, moved = self._look(number)
            yield self._told(number, time.perf_counter() - began, looked, moved)
            self.outcome = self._ended(number, time.perf_counter() - began, looked)
            if self.outcome is not None:
                return
            if number and number in self._methods and self._best is None:
                self._begin(self._methods[number])
                self._look(number)
            self._adjust()

    @torch.inference_mode(False)
    def _begin(self, method: Method) -> None:
        """Take up a method, from the weights as they were."""
        self._method = method
        self._apprentice = Apprentice(self._decoder, self._scope, self._config)
        parameters = self._apprentice.parameters
        inner = set[nn.Parameter](self._apprentice.decoder.blocks.parameters())
        rate = self._config.learning_rate or RATES[self._scope]
        self._rule = make_rule(method, parameters, inner, rate=rate)
        self._failing: list[Correction] = []
        self._good_since: int | None = None
        self._due = 0  # the first step at which a change may be judged
        self._held = 1.0  # of the rehearsal weight
        self._best: tuple[float, Change] | None = None  # share that stayed, and what left it so

    @adaptive_threads()
    @torch.inference_mode(False)
    @torch.enable_grad()
    def _look(self, number: int) -> tuple[Look, float]:
        """What the copy says of the targets, how far it moved; the loss is left in `_loss`."""
        decoder, config, method = self._apprentice.decoder, self._config, self._method
        looked = look(decoder, self._corrections)
        until = 1.0 if config.positions == "all" else self._beyond(method.slack)
        self._loss = pulled(looked, until=until)
        if earlier := self._reminded(number):
            sum_of = pulled(look(decoder, earlier), until=self._beyond(method.slack + FIRMER))
            self._loss = self._loss + sum_of / len(earlier)
        weight = config.rehearsal_weight * method.rehearsal * self._held
        with torch.set_grad_enabled(weight > 0):
            moved = self._reminders.kl(decoder, number)
        self._loss = self._loss + weight * moved
        return looked, moved.item()

    def _beyond(self, slack: float) -> float:
        return self._config.margin + min(slack, 1.0) * (1 - self._config.margin)

    def _reminded(self, number: int) -> list[Correction]:
        """The earlier lessons of a step."""
        n = len(self._earlier)
        drawn = chosen(n, min(n, EARLIER), step=number, seed=self._config.seed) if n else ()
        together = [*(self._earlier[index] for index in drawn), *self._failing[-FAILING:]]
        return list(dict.fromkeys(together))

    @adaptive_threads()
    @torch.inference_mode(False)
    @torch.enable_grad()
    def _adjust(self) -> None:
        """One step of the optimizer."""
        parameters = self._apprentice.parameters
        for parameter in parameters:
            parameter.grad = None
        self._loss.backward()  # type: ignore[no-untyped-call]
        for parameter in parameters:
            if parameter.grad is None:  # it had no part in what was said
                parameter.grad = torch.zeros_like(parameter)
        nn.utils.clip_grad_norm_(parameters, CLIP)
        self._rule.step(1.0)

    @adaptive_threads()
    def _ended(self, number: int, seconds: float, looked: Look) -> Outcome | None:
        """How the lesson ended, or None while it goes on."""
        config = self._config
        if not math.isfinite(self._loss.item()):
            return "not_finite"
        if not number and self._is_good(self._decoder):
            return "already"
        last = number == config.steps or seconds >= config.seconds or self._stopped
        too_far = False
        if looked.good(config.margin) and (last or number >= self._due):
            too_far = self._goes_too_far(number, last)
        if self._best is not None and (last or self._suffices(number)):
            self.change = self._best[1]
            return "learned"
        bounds: tuple[tuple[bool, Outcome], ...] = (
            (self._stopped, "stopped"),
            (number == config.steps, "kl" if too_far else "steps"),
            (seconds >= config.seconds, "kl" if too_far else "seconds"),
        )
        for reached, outcome in bounds:
            if reached:
                self.change = self._apprentice.change()
                return outcome
        return None

    def _suffices(self, number: int) -> bool:
        """Whether the best change is taken: little else is lost, or there was time to mend it."""
        assert self._best is not None and self._good_since is not None
        return self._best[0] >= STAYING or number >= self._good_since + MENDING

    @torch.no_grad()
    def _goes_too_far(self, number: int, last: bool) -> bool:
        """Judge the weights that the change makes of the old ones; a change to take is the `_best`.

        Returns:
            Whether the targets are good in them, but predictions elsewhere have moved too much.
        """
        change = self._apprentice.change()
        decoder = self._with(change)
        if not self._is_good(decoder):
            return False
        self._good_since = number if self._good_since is None else self._good_since
        failing = misses(decoder, self._earlier)
        if failing and number < self._good_since + MENDING and not last:
            self._failing += [item for item in self._earlier if item in failing]
            return False
        self._due = number + AGAIN
        stayed = self._stayed(decoder)
        if stayed.kl > self._config.largest_kl:
            self._held *= FIRMLY
            return True
        share = min(stayed.share, self._mend(decoder))
        if self._best is None or share > self._best[0]:
            self._best = share, change
        return False

    def _mend(self, decoder: Decoder) -> float:
        """Pull known replies that a change would alter back to what they were.

        Returns:
            The share of them that the change leaves as they are.
        """
        if self._changed is None:
            return 1.0
        others, share = self._changed(decoder)
        self._failing += others[:FAILING]
        return share

    @torch.no_grad()
    def _is_good(self, decoder: Decoder) -> bool:
        return look(decoder, self._corrections).good(self._config.margin)

    def _with(self, change: Change) -> Decoder:
        """The decoder with a change."""
        taught = {name: self._named[name].detach() for name in change.names}
        return copy_with(self._decoder, change.apply(taught))

    def _told(self, number: int, seconds: float, looked: Look, moved: float) -> TeachingStep:
        losses: Tensor = looked.losses.detach()
        told = losses.topk(min(TOLD, len(losses))).indices.sort().values
        return TeachingStep(
            step=number,
            seconds=seconds,
            loss=losses.mean().item(),
            rehearsal_kl=moved,
            probabilities=tuple((-losses[told]).exp().tolist()),
            least=(-losses.max()).exp().item(),
            n_right=int(looked.right.sum()),
            n_targets=len(losses),
        )
