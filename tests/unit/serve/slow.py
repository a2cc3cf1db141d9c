"""Lessons that only go on when they are let, and the application that gives them."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from starlette.applications import Starlette
from tests.unit.serve.calls import Browser, Open
from tests.unit.teach import samples

from nextword.language_model import LanguageModel
from nextword.serve.app import make_app
from nextword.teach.edit.weight_delta import Change
from nextword.teach.journal.history import History
from nextword.teach.lesson import Lesson, Link, TeachingStep

PAIR = {"pairs": [["the", "cat"]]}


class Told:
    """What is rehearsed."""

    def told(self) -> str:
        """In words."""
        return "nothing"


class Slow:
    """A lesson that takes each step, and its judgement, only when it is let.

    Settled, it adds 1 to every embedding.
    """

    def __init__(self, lm: LanguageModel, *, steps: int) -> None:
        self.lm = lm
        self.let = threading.Semaphore(0)
        self.stopped = False
        self.last = steps
        self.error: Exception | None = None
        self.scope, self.n_taught, self.memory_bytes = "all", 13, 17
        self.rehearsal, self.before = Told(), (samples.taught(),)
        self.threads: set[str] = set()

    def _wait(self) -> None:
        assert self.let.acquire(timeout=20)
        self.threads.add(threading.current_thread().name)

    def steps(self) -> Iterator[TeachingStep]:
        """One for each that is let, until it is stopped."""
        for number in range(self.last):
            self._wait()
            if self.stopped:
                return
            if self.error is not None:
                raise self.error
            yield samples.step(min(number, 2), step=number)

    def stop(self) -> None:
        """Before the next step."""
        self.stopped = True

    def judge(self) -> Lesson:
        """Learned, unless it was stopped."""
        self._wait()
        if self.stopped:
            return samples.not_learned()
        before = {"weight": self.lm.decoder.token_embedding.weight.detach().clone()}
        history = History("before")
        link = Link(self.lm, Change(), before, history, self._keep, self._undo)
        return samples.lesson(_link=link)

    def settle(self) -> None:
        """Write."""
        with torch.no_grad():
            self.lm.decoder.token_embedding.weight.add_(1)

    def _keep(self, lesson: Lesson, wait: float, held: bool) -> int:
        assert held
        return 5

    def _undo(self, lesson: Lesson, wait: float, held: bool) -> None:
        assert held and lesson._link is not None
        with torch.no_grad():
            self.lm.decoder.token_embedding.weight.copy_(lesson._link.before["weight"])


class Served:
    """A model, its application, and the lessons that were begun with it."""

    def __init__(self, lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lm = lm
        self.steps = 3  # of the lessons to come
        self.slow: list[Slow] = []
        self.asked: list[Any] = []

        def teaching(*given: Any, **settings: Any) -> Slow:
            self.asked.append((given, settings))
            self.slow.append(Slow(lm, steps=self.steps))
            return self.slow[-1]

        monkeypatch.setattr(lm, "teaching", teaching, raising=False)
        self.app: Starlette = make_app(lm)

    def begun(self, browser: Browser) -> Open:
        """A lesson that stands before its first step."""
        answer = browser.begin("/api/teach", PAIR)
        assert answer.event()["event"] == "started"
        return answer

    def unkept(self, browser: Browser) -> dict[str, Any]:
        """The end of a lesson that was learned."""
        answer = self.begun(browser)
        self.slow[-1].let.release(9)
        return answer.rest()[-1]
