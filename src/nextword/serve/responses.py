"""What the server says: plain JSON whose numbers are float32, and errors in one shape."""

import asyncio
import dataclasses
import json
import math
import sys
import traceback
from collections.abc import Mapping
from typing import Any

import numpy as np
from starlette.responses import Response
from torch import Tensor

from nextword.errors import (
    ContextError,
    DataError,
    LessonError,
    LossError,
    NextwordError,
    TeachBusyError,
    TokenizerError,
)

CODES: tuple[tuple[type[NextwordError], str], ...] = (
    (ContextError, "context_length"),
    (DataError, "bad_text"),
    (TokenizerError, "bad_text"),
    (LossError, "not_finite"),
    (TeachBusyError, "busy"),
    (LessonError, "not_kept"),
)
OTHER_CODE = "bad_setting"  # ConfigError, and whatever else a person can mend
LINES = "application/x-ndjson"  # the kind of a stream: an event in each line
# what ends a task or the process is no error to be answered; all else is, a library's panic too
UNTOUCHED = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)
VERSION = "nextword-version"  # the header that says for which weights an answer is


class RequestError(Exception):
    """A request that is refused.

    Attributes:
        status: of HTTP.
        code: for programs; the kinds are few and stay.
        param: the key of the body that is at fault, if it is one.
        kind: what the answer gives as its type.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str = "bad_request",
        param: str | None = None,
        kind: str = "RequestError",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.kind = kind


def exact(value: Any) -> Any:
    """`value` in the types that JSON has, every number rounded to float32, as the page prints it.

    Dataclasses become objects under their fields' names; a number that is not finite becomes null.
    """
    if isinstance(value, float):
        rounded = float(np.float32(value)) if abs(value) < _LARGEST else value
        return rounded if math.isfinite(rounded) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: exact(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [exact(item) for item in value]
    if isinstance(value, Tensor):
        return exact(value.tolist())
    return value


_LARGEST = float(np.finfo(np.float32).max)


def compact(value: Any) -> str:
    """`value` as JSON without spaces, as JavaScript's JSON.stringify writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def to_bytes(value: Any) -> bytes:
    """`value` as JSON in UTF-8; half a character, which no text has, becomes a question mark."""
    return compact(value).encode("utf-8", "replace")


def json_answer(
    value: Any,
    *,
    version: str | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """`value` as an answer of JSON; `version` is that of the weights it was worked out from."""
    told = {} if version is None else {VERSION: version}
    return Response(
        to_bytes(value),
        status_code=status,
        media_type="application/json",
        headers={**(headers or {}), **told},
    )


def error_event(error: BaseException) -> dict[str, Any]:
    """An error as the last event of a stream."""
    return {"event": "error"} | refusal(error)[1]


def refusal(error: BaseException) -> tuple[int, dict[str, Any]]:
    """The status of HTTP and the body that tell of an error; an unforeseen one shows no details.

    Its traceback goes to standard error.
    """
    if isinstance(error, RequestError):
        return error.status, _body(str(error), error.kind, error.param, error.code)
    if isinstance(error, NextwordError):
        code = next((code for kind, code in CODES if isinstance(error, kind)), OTHER_CODE)
        status = 409 if code == "busy" else 422
        return status, _body(_said(error), type(error).__name__, None, code)
    traceback.print_exception(error, file=sys.stderr)
    message = "something went wrong in the server; its terminal shows the traceback"
    return 500, _body(message, "InternalError", None, "internal")


def _said(error: NextwordError) -> str:
    """What an error says on a page, which has none of a command's options to offer."""
    if isinstance(error, TeachBusyError):
        holder, _, _ = str(error).rpartition(";")  # then comes the option to wait
        return f"{holder}; try again when it has ended"
    return str(error)


def _body(message: str, kind: str, param: str | None, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
