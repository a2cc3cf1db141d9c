"""Our C as machine code for this very processor: compiled once, then kept.

The first training on a machine compiles it, which takes five seconds; later ones find it in the
user's cache folder. Without a C compiler there is none, and torch's own operations do the work.
"""

import contextlib
import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import torch

from nextword.hardware import features, processor_name

ROOM = Path(__file__).with_name("csrc")
COMPILERS = ("cc", "gcc", "clang")
FAST = ("-O3", "-fopenmp-simd", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")
FLAGS = ("-std=c11", *FAST, "-shared", "-fPIC")
FOR_THIS = (("-march=native",), ())  # for this very processor, if the compiler can
SECONDS = 60  # for compiling; five were measured
POINTER, WHOLE, REAL = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
STEPS: dict[str, list[Any]] = {  # function of steps.c → what it is given
    "rms_norm": [POINTER] * 4 + [WHOLE] * 2 + [REAL],
    "rms_norm_back": [POINTER] * 6 + [WHOLE] * 2,
    "deal_heads": [POINTER] * 9 + [WHOLE] * 5 + [REAL],
    "deal_heads_back": [POINTER] * 12 + [WHOLE] * 5,
    "swiglu": [POINTER] * 3 + [WHOLE],
    "swiglu_back": [POINTER] * 6 + [WHOLE],
    "gelu_tanh": [POINTER] * 2 + [WHOLE],
    "gelu_tanh_back": [POINTER] * 4 + [WHOLE],
}
BLOCKS: dict[str, list[Any]] = {  # of blocks.c: an array of structs for either half, and how many
    "blocks_scratch": [POINTER] * 2,
    "blocks": [POINTER] * 2 + [WHOLE],
    "blocks_back": [POINTER] * 2 + [WHOLE],
    "drop_rows": [POINTER] * 2 + [WHOLE, REAL, WHOLE],
}
LOSS: dict[str, list[Any]] = {"loss_scratch": [POINTER], "loss": [POINTER]}  # of loss.c
SHORT: dict[str, list[Any]] = {  # of shorten.c and multiply.c
    "short_is_fast": [],
    "short_room": [WHOLE] * 2,
    "shorten_left": [POINTER] * 2,
    "shorten_right": [POINTER] * 2,
    "shorten_all": [POINTER] * 2 + [WHOLE],
    "multiply_short": [POINTER] * 3 + [WHOLE, ctypes.c_int],
}
RETURNED = {  # the others return nothing
    **dict.fromkeys(("blocks_scratch", "loss_scratch", "short_is_fast", "short_room"), WHOLE),
    "loss": ctypes.c_double,
}
SOURCES = {  # dtype → files, and what they are compiled with
    torch.float32: (
        (
            "steps.c",
            "attention.c",
            "feed_forward.c",
            "blocks.c",
            "loss.c",
            "shorten.c",
            "multiply.c",
        ),
        (),
    ),
    torch.bfloat16: (("steps.c",), ("-DBFLOAT16",)),
}
SIGNATURES: dict[torch.dtype, dict[str, list[Any]]] = {
    torch.float32: STEPS | BLOCKS | LOSS | SHORT,
    torch.bfloat16: STEPS,
}

_lock = threading.Lock()
_loaded: dict[torch.dtype, ctypes.CDLL | None] = {}


def kernels(dtype: torch.dtype) -> ctypes.CDLL | None:
    """Our functions in C for tensors of this dtype; None where there can be none."""
    if dtype not in _loaded:
        with _lock:  # several threads may ask for the first time at once
            if dtype not in _loaded:
                _loaded[dtype] = _load(dtype)
    return _loaded[dtype]


def _load(dtype: torch.dtype) -> ctypes.CDLL | None:
    compiler = find_compiler()
    if dtype not in SOURCES or compiler is None or sys.platform == "win32":
        return None
    names, defined = SOURCES[dtype]
    files = [str(ROOM / name) for name in names]
    for more in FOR_THIS:
        found = _made_by([*compiler, *FLAGS, *more, *defined, *files])
        if found is not None:
            with contextlib.suppress(AttributeError):  # CC made something else of our sources
                return _declared(found, SIGNATURES[dtype])
    return None


def _declared(library: ctypes.CDLL, signatures: dict[str, list[Any]]) -> ctypes.CDLL:
    """The library, its functions told what they are given and give."""
    for name, arguments in signatures.items():
        function = getattr(library, name)
        function.argtypes = arguments
        function.restype = RETURNED.get(name)
    return library


def _made_by(command: list[str]) -> ctypes.CDLL | None:
    """What the command compiles, or what an earlier process has kept of it; None if it fails."""
    try:
        with contextlib.ExitStack() as stack:
            folder = cache_folder()
            if folder is None:  # loaded from a folder that is gone a moment later
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            library = folder / f"kernels-{_fingerprint(command)}.so"
            if not library.exists():
                _compile(command, library)
            return ctypes.CDLL(str(library))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def find_compiler() -> list[str] | None:
    """Return how to call the C compiler: as `CC` says, or by the first usual name that is found.

    None where there is none, or where `CC` cannot be split into words; see `cc_problem`.
    """
    if cc_problem() is not None:
        return None
    asked = shlex.split(os.environ.get("CC", ""))
    for words in (asked, *([name] for name in COMPILERS)):
        if words and shutil.which(words[0]):
            return words
    return None


def cc_problem() -> str | None:
    """Return what is wrong with the environment's `CC` as a command line; None if nothing is."""
    given = os.environ.get("CC", "")
    try:
        shlex.split(given)
    except ValueError as error:  # a quote that is never closed, or a backslash at the end
        return (
            f"the environment variable CC is {given!r}, which is no command ({str(error).lower()})"
        )
    return None


def cache_folder() -> Path | None:
    """Where compiled code is kept: a folder that nobody else can write to; None if there is none.

    Code from it is executed, so a folder in which others could have put some is not used.
    """
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        folder = Path(home).expanduser() / "nextword"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.stat()
    except (OSError, RuntimeError):  # read-only, or no home at all
        return None
    own = facts.st_uid == os.getuid() and not facts.st_mode & 0o022
    return folder if own and os.access(folder, os.W_OK) else None


def _fingerprint(command: list[str]) -> str:
    """What the machine code depends on: the source, the compiler, the processor."""
    found = shutil.which(command[0]) or command[0]
    sources = [path.read_text() for path in sorted(ROOM.glob("*.[ch]"))]
    facts = [*sources, found, Path(found).stat().st_mtime_ns, *command]
    text = "\n".join(map(str, [*facts, processor_name(), *features()]))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _compile(command: list[str], library: Path) -> None:
    """Compile under another name, then rename: another process sees all of it or nothing."""
    handle, partial = tempfile.mkstemp(dir=library.parent, suffix=".partial")
    os.close(handle)
    try:
        words = [*command, "-o", partial, "-lm"]
        subprocess.run(words, check=True, capture_output=True, timeout=SECONDS)
        Path(partial).replace(library)
    finally:
        Path(partial).unlink(missing_ok=True)
