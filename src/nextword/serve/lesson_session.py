"""The lessons of the model that is served: one at a time, only in memory until it is kept.

    idle ──▶ teaching ──▶ judging ──▶ unkept ──▶ writing ──▶ idle
      ▲          └── stopped, hung up, not learned ──┘ (back to idle; the weights never moved)
      └── writing: undo of kept lessons, reload

A lesson is worked out on a copy, in threads, while all other questions go on and are answered from
the old weights. Only what writes the model's weights takes a turn (`Turns`). From `teaching` until
the lesson is kept, undone or dropped the model's folder is held, so that nobody else, in a terminal
perhaps, teaches or trains there meanwhile. The phase changes on the event loop, without a wait
between the look and the change; but for `settle`, which sets it in its turn, with the weights.
"""

import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from nextword.common.folder_lock import hold
from nextword.language_model import LanguageModel
from nextword.serve.request_queue import Answered, Turns, check_waited_for
from nextword.serve.responses import UNTOUCHED, RequestError, exact
from nextword.teach.config import TeachingConfig
from nextword.teach.journal.lesson_records import Sums, sums_of
from nextword.teach.journal.undo import Undone, undo
from nextword.teach.lesson import Lesson, TeachingStep

if TYPE_CHECKING:
    from nextword.teach.session import Teaching

Event = dict[str, Any]
Phase = Literal["idle", "teaching", "judging", "unkept", "writing"]
ResultT = TypeVar("ResultT")
PAUSE = 0.05  # seconds between two steps that are told


class Lessons:
    """What is taught to one model; see above.

    Args:
        lm: the model. Its folder, if it has one, is what it was read from just now.
        turns: for what writes its weights.

    Attributes:
        unkept: the lesson that is to be kept or undone.
    """

    def __init__(self, lm: LanguageModel, turns: Turns) -> None:
        self._lm = lm
        self._turns = turns
        self._phase: Phase = "idle"
        self._teaching: Teaching | None = None
        self._stop_asked = False
        self.unkept: Lesson | None = None
        self._held = contextlib.ExitStack()  # the folder, while it is held
        self._sums: Sums = {} if lm.folder is None else sums_of(lm.folder)

    @property
    def teaching(self) -> bool:
        """Whether a lesson is under way."""
        return self._phase in ("teaching", "judging")

    async def begin(self, make: "Callable[[], Teaching]") -> "Teaching":
        """Hold the folder and make a lesson ready, in a thread.

        Raises:
            RequestError: another lesson is under way or unkept, or the folder was changed.
            TeachBusyError: somebody else holds the folder.
            NextwordError: of `make`.
        """
        self._enter("teaching", wanted="idle")
        try:
            teaching = await run_in_threadpool(self._holding, make)
        except BaseException:
            self._end()
            raise
        self._teaching = teaching
        if self._stop_asked:
            teaching.stop()
        return teaching

    async def events(
        self, request: Request, teaching: "Teaching", *, config: TeachingConfig
    ) -> AsyncIterator[Event]:
        """The start, the steps and the end of a lesson that `begin` made ready.

        Whatever ends it early, drops it: the weights are as they were.

        Raises:
            RequestError: the asker has hung up, or the server is being stopped.
            NextwordError: of the lesson.
        """
        try:
            yield self._started(teaching, config)
            async for step in _told(request, teaching):
                yield {"event": "step"} | exact(step)
            yield await self._ended(request, teaching)
        finally:
            self.drop(teaching)

    def _started(self, teaching: "Teaching", config: TeachingConfig) -> Event:
        return {
            "event": "started",
            "version": self._turns.version,
            "scope": teaching.scope,
            "n_taught": teaching.n_taught,
            "memory_bytes": teaching.memory_bytes,
            "rehearsal": teaching.rehearsal.told(),
            "max_steps": config.steps,
            "max_seconds": exact(config.seconds),
            "sentences": exact(teaching.before),
        }

    async def _ended(self, request: Request, teaching: "Teaching") -> Event:
        """Judge the lesson and, if there is something learned, write the weights in a turn."""
        self._phase = "judging"
        lesson = await run_in_threadpool(teaching.judge)

        def settle() -> None:
            teaching.settle()
            self._phase, self._teaching, self.unkept = "unkept", None, lesson

        if lesson.learned and lesson.outcome != "already":
            version = (await self._turns.run(request, settle)).version
        else:
            self.drop(teaching)
            version = self._turns.version
        event = "done" if lesson.learned else "not_learned"
        return {"event": event, "version": version, "lesson": exact(lesson.as_json())}

    def drop(self, teaching: "Teaching") -> None:
        """End a lesson that is under way; nothing to do for one that has ended."""
        if self._teaching is teaching:
            teaching.stop()
            self._end()

    def stop(self) -> bool:
        """Ask the lesson under way to stop after the step that it is at; whether there is one."""
        if self._phase != "teaching":
            return False
        self._stop_asked = True
        if self._teaching is not None:
            self._teaching.stop()
        return True

    async def keep(self) -> Answered[Lesson]:
        """Write the unkept lesson to the folder.

        Raises:
            RequestError: there is none, the model has no folder, or that was changed.
            LessonError: it cannot be kept.
        """
        self._enter("writing", wanted="unkept")
        lesson = await self._written(run_in_threadpool(self._keep), otherwise="unkept")
        return Answered(lesson, self._turns.version)

    async def undo(self, request: Request) -> Answered[None]:
        """Put back the weights from before the unkept lesson.

        Raises:
            RequestError: there is none.
        """
        self._enter("writing", wanted="unkept")
        lesson = self.unkept
        assert lesson is not None
        work = self._turns.run(request, lambda: lesson.undo(held=True))
        return await self._written(work, otherwise="unkept")

    async def undo_kept(
        self, request: Request, numbers: tuple[int, ...] | None
    ) -> Answered[Undone]:
        """Take kept lessons back, in the folder and in memory; None: all.

        Raises:
            RequestError, TeachBusyError: see `begin`; or there is no folder.
            LessonError: they cannot be undone.
        """
        self._enter("writing", wanted="idle")
        work = self._turns.run(request, lambda: self._holding(lambda: self._undo_kept(numbers)))
        return await self._written(work, otherwise="idle")

    async def reload(self, request: Request) -> Answered[None]:
        """Read the folder again.

        Raises:
            RequestError: a lesson is under way or unkept, or there is no folder.
            FolderError: it is no model any more.
        """
        self._enter("writing", wanted="idle")
        return await self._written(self._turns.run(request, self._reload), otherwise="idle")

    def changed(self, present: Sums) -> bool:
        """Whether another program changed the folder's weights, which are these at present."""
        return self._phase != "writing" and present != self._sums

    def close(self) -> bool:
        """Let others teach in the folder; whether an unkept lesson was dropped.

        What is being written is left to end by itself.
        """
        dropped = self._phase == "unkept"
        if self._phase != "writing":
            self._end()
        return dropped

    def _keep(self) -> Lesson:
        folder = self._folder()
        self._check_unchanged()
        assert self.unkept is not None
        kept = self.unkept.keep(held=True)
        self._sums = sums_of(folder)
        return kept

    def _undo_kept(self, numbers: tuple[int, ...] | None) -> Undone:
        undone = undo(self._folder(), numbers, held=True)
        self._lm.reload()
        self._sums = undone.sums
        return undone

    def _reload(self) -> None:
        sums = sums_of(self._folder())  # first: what changes meanwhile is seen as a change
        self._lm.reload()
        self._sums = sums

    def _holding(self, work: Callable[[], ResultT]) -> ResultT:
        """Do it with the folder held, which stays so until `_end`; without a folder, just do it."""
        if self._lm.folder is not None:
            self._held.enter_context(hold(self._lm.folder, what="teaching"))
            self._check_unchanged()
        return work()

    def _folder(self) -> Path:
        if self._lm.folder is None:
            problem = "this model is only in memory: it has no folder to keep lessons in"
            raise RequestError(problem, status=422, code="no_folder")
        return self._lm.folder

    def _check_unchanged(self) -> None:
        if self._lm.folder is not None and sums_of(self._lm.folder) != self._sums:
            problem = (
                f"the model in {self._lm.folder} was changed by another program since it was "
                "opened; load it again"
            )
            raise RequestError(problem, status=409, code="folder_changed")

    def _enter(self, phase: Phase, *, wanted: Phase) -> None:
        """Change the phase, if it is the one that is wanted."""
        if self._phase != wanted:
            problem, code = _REFUSALS[self._phase]
            raise RequestError(problem, status=409, code=code)
        self._phase = phase

    async def _written(self, work: Awaitable[ResultT], *, otherwise: Phase) -> ResultT:
        """End with what is written; back to `otherwise` where it fails.

        Cut off in the middle, as when the server ends, it stays `writing`: a thread may be at it.
        """
        try:
            made = await work
        except UNTOUCHED:
            raise
        except BaseException:  # a library's panic is no Exception
            if otherwise == "idle":
                self._end()
            self._phase = otherwise
            raise
        self._end()
        return made

    def _end(self) -> None:
        self._held.close()
        self._phase, self._teaching, self.unkept = "idle", None, None
        self._stop_asked = False


_UNDER_WAY = ("a lesson is under way", "teaching")
_REFUSALS: dict[Phase, tuple[str, str]] = {
    "idle": ("there is no lesson to keep or undo", "no_lesson"),
    "teaching": _UNDER_WAY,
    "judging": _UNDER_WAY,
    "writing": _UNDER_WAY,
    "unkept": ("a lesson is not yet kept or undone; do that first", "lesson_open"),
}


async def _told(request: Request, teaching: "Teaching") -> AsyncIterator[TeachingStep]:
    """The steps, at most one in each PAUSE; the first and the last always."""
    steps, told, untold = teaching.steps(), -math.inf, None
    await check_waited_for(request)
    while (step := await run_in_threadpool(next, steps, None)) is not None:
        untold = step
        if time.monotonic() - told >= PAUSE:
            yield step
            untold, told = None, time.monotonic()
        await check_waited_for(request)
    if untold is not None:
        yield untold
