"""Replacing values in the reference forward: taking out heads, patching, steering."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from nextword.config import ModelConfig
from nextword.errors import ConfigError
from nextword.interpret.points import check_place, chosen
from nextword.interpret.reference import Tap, untouched

if TYPE_CHECKING:
    from nextword.interpret.trace import Trace

Change = Callable[[Tensor], Tensor] | Tensor
Changes = Mapping[str, Change]
How = Literal["zero", "mean"]


class Edit:
    """Changes to the values of a forward, by full name.

    Args:
        changes: what becomes of the value of a point (`*` for any part of its name): a function of
            the value, or the new value itself; its shape must stay.
        config: the model's.

    Raises:
        ConfigError: the model has no such point.
    """

    def __init__(self, changes: Changes, config: ModelConfig) -> None:
        self._changes: dict[str, list[Change]] = {}
        for pattern, change in changes.items():
            for name in chosen([pattern], config):
                self._changes.setdefault(name, []).append(change)

    def __call__(self, name: str, value: Tensor) -> Tensor:
        """The value that is used in the place of `value`: a tap."""
        for change in self._changes.get(name, ()):
            new = change(value) if callable(change) else change
            if new.shape != value.shape:
                raise ConfigError(
                    f"the edit of {name} makes shape {list(new.shape)} of {list(value.shape)}; "
                    "the shape must stay"
                )
            value = new.to(value)
        return value


def edited(changes: Sequence[Changes], config: ModelConfig, *, after: Tap = untouched) -> Tap:
    """A tap that makes all changes, outer ones first, and then calls `after`."""
    edits = [Edit(change, config) for change in changes]

    def tap(name: str, value: Tensor) -> Tensor:
        for edit in edits:
            value = edit(name, value)
        return after(name, value)

    return tap


def ablate(*, layer: int, head: int, how: How = "zero") -> dict[str, Change]:
    """The change that takes out a head: its context becomes zero, or its mean over the sentence.

    Args:
        layer, head: from 0; a head may be counted from the end.
        how: what is put in its place.

    Raises:
        ConfigError: an unknown `how`; later, in the forward: there is no such layer or head.
    """
    if how not in ("zero", "mean"):
        raise ConfigError(f"how is {how!r}; it must be 'zero' or 'mean'")

    def change(context: Tensor) -> Tensor:  # [H, T, D]
        number = check_place("head", head, len(context))
        new = context.clone()
        new[number] = context[number].mean(dim=0) if how == "mean" else 0.0
        return new

    return {f"blocks.{layer}.attention.context": change}


def patch(
    trace: "Trace", name: str, *, positions: Sequence[int] | None = None, head: int | None = None
) -> dict[str, Change]:
    """The change that puts in a value from another trace.

    Args:
        trace: where it comes from.
        name: of the point, in both forwards.
        positions: only at these; None: at all, and then both texts must have the same length.
        head: only of this head, of a point with an axis of heads.

    Raises:
        ConfigError: the trace has no such value; later, in the forward: no such position or head.
    """
    source = trace[name]

    def change(value: Tensor) -> Tensor:
        new = source.to(value)
        if positions is None and head is None:
            return new
        axis = _axis(value)
        heads = _heads(name, value, head)
        places = range(value.shape[axis]) if positions is None else positions
        result = value.clone()
        for place in places:
            theirs = new.select(axis, check_place("position", place, new.shape[axis]))
            ours = result.select(axis, check_place("position", place, value.shape[axis]))
            if theirs.shape != ours.shape:
                raise ConfigError(
                    f"{name} has shape {list(new.shape)} in the other trace and "
                    f"{list(value.shape)} here; only texts of one length can be patched here"
                )
            ours[heads] = theirs[heads]
        return result

    return {name: change}


def steer(
    name: str, direction: Tensor, *, by: float = 1.0, positions: Sequence[int] | None = None
) -> dict[str, Change]:
    """The change that adds `by` times a direction.

    Args:
        name: of a point, such as `blocks.1.residual_post`.
        direction: as long as the point's last axis.
        by: how far.
        positions: only at these; None: at all.

    Raises:
        ConfigError: in the forward: the direction is not as long, or no such position.
    """

    def change(value: Tensor) -> Tensor:
        if direction.shape != value.shape[-1:]:
            raise ConfigError(
                f"the direction has shape {list(direction.shape)}, and {name} needs "
                f"[{value.shape[-1]}]"
            )
        added = by * direction.to(value)
        if positions is None:
            return value + added
        result, axis = value.clone(), _axis(value)
        for place in positions:
            result.select(axis, check_place("position", place, value.shape[axis])).add_(added)
        return result

    return {name: change}


def _axis(value: Tensor) -> int:
    """Which axis of a value the positions are on: behind that of the heads, where there is one."""
    return value.dim() - 2


def _heads(name: str, value: Tensor, head: int | None) -> int | slice:
    """The part of a row's first axis that a patch is for."""
    if head is None:
        return slice(None)
    if value.dim() != 3:
        raise ConfigError(f"{name} has no heads: leave head out")
    return check_place("head", head, len(value))
