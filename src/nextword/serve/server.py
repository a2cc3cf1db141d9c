"""The server around the application: it says when it is ready, and ends cleanly."""

import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from nextword.serve.connections import Connection

SECONDS_TO_END = 5  # for answers that are under way when the server is stopped


class _Server(uvicorn.Server):
    """uvicorn's, which knows that the application may have replies under way.

    Args:
        app: has `state.stopping` and `state.lessons`, see `make_app`.
        ready: called when requests are answered.
        dropped: called at the end where a lesson was neither kept nor undone.
    """

    def __init__(
        self, app: Starlette, ready: Callable[[], None], dropped: Callable[[], None]
    ) -> None:
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=Connection,  # of h11: the strict one, and always there
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SECONDS_TO_END,
        )
        super().__init__(config)
        self._app = app
        self._ready = ready
        self._dropped = dropped

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, as soon as the step of the model or of the lesson that runs is done."""
        self._app.state.stopping = True
        await super().shutdown(sockets)
        if self._app.state.lessons.close():
            self._dropped()


def run_server(
    app: Starlette,
    listener: socket.socket,
    *,
    ready: Callable[[], None],
    dropped: Callable[[], None],
) -> None:
    """Answer until the process is told to end.

    Args:
        app: of `make_app`.
        listener: a socket that listens.
        ready: called when requests are answered.
        dropped: called at the end where a lesson was neither kept nor undone.

    Raises:
        KeyboardInterrupt: after the end, if Ctrl-C was the reason.
    """
    _Server(app, ready, dropped).run(sockets=[listener])
