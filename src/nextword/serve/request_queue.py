"""Taking turns: one question to the model at a time, each answer under the weights' version."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from nextword.language_model import LanguageModel
from nextword.serve.responses import RequestError

ResultT = TypeVar("ResultT")
HUNG_UP = 499  # nginx's number for an answer that nobody waits for


@dataclass(frozen=True)
class Answered(Generic[ResultT]):
    """A result, and the version of the weights when it was worked out."""

    result: ResultT
    version: str


class Turns:
    """Who asks the model next.

    Whatever reads the model for an answer, and whatever writes its weights, takes a turn: so no
    answer ever sees two versions.

    Attributes:
        version: of the weights after the last turn; known at once, while a turn may be under way.
    """

    def __init__(self, lm: LanguageModel) -> None:
        self._lm = lm
        self._turn = asyncio.Lock()
        self.version = lm.version  # worked out now, and then known

    async def run(self, request: Request, work: Callable[[], ResultT]) -> Answered[ResultT]:
        """Work on the model, in a thread, when all who asked before have their answer.

        One thread at a time. A question whose asker has gone while it waited, as when the pointer
        moves on, is not worked out any more; one that is being worked out keeps its turn.

        Raises:
            RequestError: see `check_waited_for`.
        """
        async with self._turn:
            await check_waited_for(request)
            return await run_in_threadpool(self._noted, work)

    def _noted(self, work: Callable[[], ResultT]) -> Answered[ResultT]:
        try:
            result = work()
        finally:
            self.version = self._lm.version
        return Answered(result, self.version)


async def check_waited_for(request: Request) -> None:
    """Refuse to work for nobody.

    Raises:
        RequestError: the asker has hung up, or the server is being stopped.
    """
    if await request.is_disconnected():
        raise RequestError("nobody waits for this", status=HUNG_UP, code="hung_up")
    if request.app.state.stopping:
        raise RequestError("the server was stopped", status=503, code="stopped")
