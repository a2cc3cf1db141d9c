"""`nextword serve`: a model's page in the browser, on this machine."""

import errno
import ipaddress
import os
import socket
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nextword.cli.replying.reply import open_model
from nextword.cli.shared.command import command, folder_argument
from nextword.cli.shared.numbers import Whole
from nextword.common.text_format import visible
from nextword.errors import ConfigError, RunError

if TYPE_CHECKING:
    from nextword.language_model import LanguageModel

PORT = 8321


@command(
    "serve",
    example="""
    nextword serve models/mine
    nextword serve models/mine --port 9000 --open
    """,
)
@folder_argument
@click.option("--port", type=Whole(0, 65535), default=PORT, show_default=True,
              help="0: any free one.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True,
              help="Address to listen on. Any but a loopback one lets others in.")  # fmt: skip
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@click.option("--threads", type=Whole(1), help="For matrix products.  [default: all]")
def serve(folder: Path, port: int, host: str, open_page: bool, threads: int | None) -> None:
    """Open the model in FOLDER as a page in the browser, and follow every number of it.

    Read a sentence and see what the model predicts at every word and why; let it reply, word by
    word; teach it where it was wrong. Nothing leaves this machine, and nobody else can ask. Ctrl-C
    (exit code 130) or SIGTERM (143) ends it.
    """
    listener = listen(host, port)  # first, since it fails at once
    with listener:
        model = open_model(folder, "cpu")
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        run(model, listener, host=host, open_page=open_page)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on this address; whoever connects waits for the model to be read.

    Raises:
        ConfigError: there is no such address on this machine.
        RunError: the port is in use, or may not be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise ConfigError(
            f"--host {host!r} is no address; give 127.0.0.1, or one of this machine's addresses"
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name != "nt":  # there it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()  # at once: a port that is only bound can be bound again
    except OSError as error:
        listener.close()
        raise _cannot_listen(error, host, port) from error
    return listener


def _cannot_listen(error: OSError, host: str, port: int) -> ConfigError | RunError:
    if error.errno == errno.EADDRINUSE:
        return RunError(
            f"port {port} on {host} is in use, perhaps by another nextword serve; end that one, "
            f"or give another port: --port {port % 65535 + 1}, or --port 0 for any free one"
        )
    if error.errno == errno.EACCES:
        return RunError(f"port {port} may not be used; give one from 1024 on, such as {PORT}")
    return ConfigError(
        f"cannot listen on --host {host}: {error.strerror}; give 127.0.0.1, or one of this "
        "machine's addresses"
    )


def run(model: "LanguageModel", listener: socket.socket, *, host: str, open_page: bool) -> None:
    """Serve until Ctrl-C or SIGTERM; says where, when the first request can come.

    Args:
        host: as it was given.
        open_page: whether to open the page in the browser.

    Raises:
        KeyboardInterrupt: at the end, when all is closed.
    """
    from nextword.serve.app import make_app
    from nextword.serve.security import LOOPBACK
    from nextword.serve.server import run_server

    bound = listener.getsockname()[0]
    if not ipaddress.ip_address(bound).is_loopback:
        click.echo(f"note: {_warning(host)}", err=True)
    name = visible(model.folder.resolve().name) if model.folder else "the model"
    address = _address(listener)

    def ready() -> None:
        click.echo(f"{name} is served at {address} (Ctrl-C ends it)")
        if open_page:
            threading.Thread(target=_open, args=(address,), daemon=True).start()

    def dropped() -> None:
        click.echo("an unkept lesson was dropped; the folder is as it was", err=True)

    app = make_app(model, hosts=LOOPBACK | {host.lower(), bound})
    run_server(app, listener, ready=ready, dropped=dropped)


def _address(listener: socket.socket) -> str:
    """Where the page is, for a browser on this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _warning(host: str) -> str:
    """What it means to listen on an address that other machines reach."""
    return (
        f"--host {host} lets everybody who can reach this machine over a network see the model and "
        "use it, unencrypted and without a password; leave --host out to keep it to yourself"
    )


def _open(address: str) -> None:
    if not webbrowser.open(address):
        click.echo(f"note: no browser could be opened; open {address} yourself", err=True)
