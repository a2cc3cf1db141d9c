"""The lesson itself: adjust a copy of the weights until every target is right.

Each step lowers the sum of -log p(right word) over the targets that are not yet good, plus a weight
times how far the predictions moved on a few rehearsed sequences, plus the same sum for earlier
lessons. As soon as all targets are good, the change is made as small as it can be, and is judged.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from nextword.model.decoder import Decoder
from nextword.teach.config import CLIP, RATES, TeachingConfig
from nextword.teach.correction import Correction
from nextword.teach.lesson import Outcome, TeachingStep
from nextword.teach.methods import Method, make_rule, methods
from nextword.teach.rehearsal import Rehearsal
from nextword.teach.reminders import Reminders, chosen
from nextword.teach.scope import Apprentice, Change, copy_with, resolve
from nextword.teach.targets import Look, look, misses, pulled

TOLD = 64  # probabilities in a step, at most
EARLIER = 8  # earlier lessons in every step, drawn anew
FAILING = 16  # more of them, of those that a change would have undone
FIRMER = 0.1  # how much further than a new target an earlier one is pulled
AGAIN = 5  # steps until a change that moved too much is judged again
MENDING = 20  # steps for earlier lessons, once the targets are good
HALVINGS = 4  # to find the smallest share of a change that is still good
FIRST_SHARE = 0.5  # of the steps, for the first of two methods


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
        moved: Callable[[Decoder], float],
        anchor: Decoder | None = None,
        earlier: Sequence[Correction] = (),
    ) -> None:
        """Begin a lesson.

        Args:
            decoder: the one to be taught.
            corrections: what is to be learned.
            rehearsal: what must stay, without what the corrections are about.
            config: see there.
            moved: how far a decoder's predictions elsewhere have moved, nats per position.
            anchor: whose predictions the rehearsal is held to: the decoder from before the first
                of several lessons, so that many small moves do not add up. None: this one.
            earlier: lessons that should still hold.
        """
        self._decoder, self._corrections, self._config = decoder, list(corrections), config
        self._moved, self._earlier = moved, list(earlier)
        self._scope = resolve(config, decoder)
        self._named = dict(decoder.named_parameters())
        self._reminders = Reminders(
            decoder if anchor is None else anchor, rehearsal,
            count=config.rehearsal_batch, seed=config.seed,
        )  # fmt: skip
        self._stopped = False
        self._over = False
        self._due = 0
        self.outcome: Outcome | None = None
        self.change = Change()
        self._methods = methods(self._scope)
        self._begin(self._methods[0])

    def stop(self) -> None:
        """End before the next step; the lesson is then not learned."""
        self._stopped = True

    def steps(self) -> Iterator[TeachingStep]:
        """Every step as it was reached, step 0 before any change; then there is an `outcome`."""
        began = time.perf_counter()
        switch = round(FIRST_SHARE * self._config.steps) if len(self._methods) > 1 else -1
        for number in range(self._config.steps + 1):
            looked, moved = self._look(number)
            yield self._told(number, time.perf_counter() - began, looked, moved)
            self.outcome = self._ended(number, time.perf_counter() - began, looked)
            if self.outcome is not None:
                return
            if number == switch:
                self._begin(self._methods[1])
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
        weight = config.rehearsal_weight * method.rehearsal
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

    def _ended(self, number: int, seconds: float, looked: Look) -> Outcome | None:
        """How the lesson ended, or None while it goes on."""
        config = self._config
        if not math.isfinite(self._loss.item()):
            return "not_finite"
        if not number and self._is_good(self._decoder):
            return "already"
        last = number == config.steps or seconds >= config.seconds or self._stopped
        due = last or number >= self._due
        good = looked.good(config.margin) and due and self._accepted(number)
        if good and not self._over:
            return "learned"
        bounds: tuple[tuple[bool, Outcome], ...] = (
            (self._stopped, "stopped"),
            (number == config.steps, "kl" if good else "steps"),
            (seconds >= config.seconds, "kl" if good else "seconds"),
        )
        for reached, outcome in bounds:
            if reached:
                if not good:
                    self.change = self._apprentice.change()
                return outcome
        return None

    @torch.no_grad()
    def _accepted(self, number: int) -> bool:
        """Whether the targets are good in the weights that the change makes of the old ones.

        The change is then the smallest that is good, and `_over` says whether it moves too much.
        """
        change = self._apprentice.change()
        decoder = self._with(change)
        if not self._is_good(decoder):
            return False
        self._good_since = number if self._good_since is None else self._good_since
        failing = misses(decoder, self._earlier)
        if failing and number < self._good_since + MENDING and number < self._config.steps:
            self._failing += [item for item in self._earlier if item in failing]
            return False
        holding = [item for item in self._earlier if item not in failing]
        self.change = self._smallest(change, holding)
        self._over = self._moved(self._with(self.change)) > self._config.largest_kl
        self._due = number + AGAIN
        return True

    def _smallest(self, change: Change, holding: Sequence[Correction]) -> Change:
        """As little of a change as leaves the targets good and the lessons that hold, held."""
        low, high, best = 0.0, 1.0, change
        for _ in range(HALVINGS):
            share = (low + high) / 2
            less = change.scaled(share)
            decoder = self._with(less)
            if self._is_good(decoder) and not misses(decoder, holding):
                high, best = share, less
            else:
                low = share
        return best

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
