"""A training run's folder: one process at a time, the settings it began with, what it saved.

    OUT/training/
      lock            held by the process that trains or teaches (lock.py)
      settings.json   what the run was begun with; another start must agree with it
      metrics.jsonl   one line of measured values per step
      finished.json   the summary, once the run has ended
      checkpoints/    step-00000100/ …  (checkpoint.py)

Lessons lie there too (teach/journal/lesson_records.py); a run leaves them alone.

It knows nothing about models: a checkpoint is named tensors and a state of plain JSON.
"""

import contextlib
import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from nextword.common.checked_json import read_checked_json, write_checked_json
from nextword.common.files import (
    append_line,
    disk_error,
    flush,
    sweep,
    write_whole,
)
from nextword.common.folder_lock import hold
from nextword.common.lesson_files_layout import has_run
from nextword.errors import FolderError, RunChangedError, RunError
from nextword.training.run.checkpoint import Checkpoint, Checkpoints, Parts, plain

EARLIER = "earlier"
SHOWN = 12  # differing settings that a message lists before it only counts them
TOKENIZER_FILES = frozenset({"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"})
LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})  # of file browsers
START_OVER = "Start over with --fresh, which removes the earlier run's checkpoints"


class Run:
    """A run's folder, held open by this process alone; made with `Run.open`, a context manager."""

    def __init__(
        self, folder: Path, *, held: contextlib.ExitStack, warn: Callable[[str], None]
    ) -> None:
        self.folder = folder
        self._training = folder / "training"
        self._settings = self._training / "settings.json"
        self.settings: dict[str, Any] = {}  # what the run was begun with
        self._metrics = self._training / "metrics.jsonl"
        self._finished = self._training / "finished.json"
        self._checkpoints = Checkpoints(self._training / "checkpoints", warn=warn)
        self._held = held
        self._warn = warn

    @classmethod
    def open(
        cls,
        folder: Path,
        settings: Mapping[str, Any],
        *,
        fresh: bool = False,
        warn: Callable[[str], None],
    ) -> Self:
        """Begin a run in `folder`, or go on with the one that is there.

        Args:
            folder: the model's folder, OUT; made if need be.
            settings: nested plain JSON. What stands under "versions" may differ (a warning), and
                so may the names of files that are given with their checksums.
            fresh: remove the training state of an earlier run first.
            warn: is told, in one sentence, of each thing that a person should know.

        Raises:
            RunBusyError: somebody trains or teaches in this folder.
            RunChangedError: the run in the folder was begun with other settings.
            RunError: the folder holds other things, or may not be written.
        """
        given = plain(settings, "settings")
        run = cls(folder, held=_take_lock(folder), warn=warn)
        try:
            if fresh:
                run._clear()
            run._agree_on(given)
            run._tidy()
        except BaseException as error:
            run.close()
            if isinstance(error, OSError):
                raise disk_error(folder, error) from error
            raise
        return run

    def close(self) -> None:
        """Let other processes train here."""
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def finished(self) -> bool:
        """Whether the run in the folder has reached its last step."""
        return self._finished.exists()

    @property
    def summary(self) -> dict[str, Any] | None:
        """What `mark_finished` stored; None before that.

        Raises:
            RunError: it is damaged.
        """
        if not self.finished:
            return None
        try:
            return read_checked_json(self._finished)
        except FolderError as error:
            raise self.damaged_summary(error) from error

    def damaged_summary(self, error: Exception) -> RunError:
        """Return the error for a finished.json that is no summary of a run."""
        return RunError(
            f"{self._finished} is damaged: {error}. Put it back from a copy; or delete it: then "
            "the same command evaluates and saves the last checkpoint again, without the lessons "
            "that were taught since"
        )

    def mark_finished(self, summary: Mapping[str, Any]) -> None:
        """Store the run's summary (plain JSON); from now on it counts as finished."""
        write_checked_json(self._finished, plain(summary, "summary"))

    def save(self, step: int, parts: Parts, state: Mapping[str, Any]) -> None:
        """Save a checkpoint whole, keep the newest two.

        Args:
            step: how many optimizer steps have been taken.
            parts: tensors by part and name, of any shape and dtype, views and shared ones too.
            state: plain JSON.

        Raises:
            RunError: the disk is full or may not be written; the earlier checkpoints still load.
        """
        if self._metrics.exists():  # what was measured before this step must not be lost after it
            flush(self._metrics)
        self._checkpoints.save(step, parts, state)

    def load(self) -> Checkpoint | None:
        """The newest checkpoint that is whole, verified; None when there has been none yet.

        Raises:
            CheckpointError: there are checkpoints, and every one is damaged.
        """
        return self._checkpoints.load()

    @property
    def has_checkpoints(self) -> bool:
        """Return whether there are checkpoints, good or damaged."""
        return bool(self._checkpoints.newest_first())

    def saved_settings(self) -> dict[str, Any] | None:
        """Return what the newest checkpoint says of its run's settings; reads no tensors.

        None where no checkpoint has a state that is whole.
        """
        state = self._checkpoints.newest_state()
        return None if state is None else state.get("settings")

    def metric(self, values: Mapping[str, Any]) -> None:
        """Append a line of measured values; it must have "step". NaN and infinity become null.

        Raises:
            RunError: the disk is full or may not be written; no half line is left.
        """
        assert isinstance(values.get("step"), int), "a metric needs its step"
        finite = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }
        line = json.dumps(plain(finite, "metric"), ensure_ascii=False) + "\n"
        append_line(self._metrics, line.encode("utf-8"))

    def metrics(self) -> list[dict[str, Any]]:
        """All measured values, oldest first; a damaged line is left out and named."""
        return [values for _, values in self._metric_lines()]

    def rewind_metrics(self, step: int) -> None:
        """Drop what was measured after `step`, whole or not at all: it will be measured again."""
        if self._metrics.exists():
            kept = [line for line, values in self._metric_lines() if values["step"] <= step]
            write_whole(self._metrics, b"".join(kept))

    def _metric_lines(self) -> list[tuple[bytes, dict[str, Any]]]:
        """Each good line, as bytes and as values; its last, torn one is none."""
        if not self._metrics.exists():
            return []
        lines = self._metrics.read_bytes().splitlines(keepends=True)
        good: list[tuple[bytes, dict[str, Any]]] = []
        for number, line in enumerate(lines, start=1):
            values = _metric_values(line)
            if values is not None:
                good.append((line, values))
            elif number < len(lines):
                self._warn(f"{self._metrics}, line {number} is damaged and is left out")
        return good

    def _tidy(self) -> None:
        """Remove what a killed process left half done: files, checkpoints, a line of metrics."""
        self._checkpoints.sweep()
        sweep(self._training)
        if self._metrics.exists():  # the next line must not be glued to half a one
            os.truncate(self._metrics, self._metrics.read_bytes().rfind(b"\n") + 1)

    def _clear(self) -> None:
        """Remove the earlier run; its settings last, as they hold while anything of it is left."""
        self._finished.unlink(missing_ok=True)
        self._metrics.unlink(missing_ok=True)
        for folder in (self._checkpoints.folder, self._training / EARLIER):  # of version 0.1, too
            if folder.exists():
                shutil.rmtree(folder)
        self._settings.unlink(missing_ok=True)

    def _agree_on(self, given: dict[str, Any]) -> None:
        """Store the settings of a new run; compare those of one that is there."""
        if not self._settings.exists():
            if self._checkpoints.newest_first():
                raise RunError(
                    f"{self._settings} is missing, although there are checkpoints beside it. "
                    f"Put it back, or choose another --out. {START_OVER}."
                )
            write_checked_json(self._settings, given)
            self.settings = given
            return
        try:
            earlier = read_checked_json(self._settings)
        except FolderError as error:
            raise RunError(
                f"{self._settings} is damaged: {error}. Put it back from a copy. {START_OVER}."
            ) from error
        self.settings = earlier
        differences = _differences(_without_names(earlier), _without_names(given))
        versions = [text for text in differences if text.startswith("versions")]
        changed = [text for text in differences if text not in versions]
        if changed:
            raise RunChangedError(
                f"{self.folder} holds a run with other settings, by its training/settings.json: "
                f"{_listed(changed)}. "
                f"Choose another --out, or go back to the earlier settings. {START_OVER}."
            )
        if versions:
            self._warn(f"{_listed(versions)}: the run goes on, but perhaps not bit for bit")


def _take_lock(folder: Path) -> contextlib.ExitStack:
    """Hold the folder for this process; made first if need be."""
    held = contextlib.ExitStack()
    try:
        check_place(folder)
        (folder / "training").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(folder, error) from error
    held.enter_context(hold(folder, what="training"))
    return held


def check_place(folder: Path) -> None:
    """A run goes into an empty folder or an earlier run's: never over a person's other files.

    Raises:
        RunError: there are other things, or a model that no run left there, though it was taught.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; a run needs a folder. Choose another --out.")
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    others = sorted(names - TOKENIZER_FILES - LITTER - {"training"})
    if not others or has_run(folder):
        return
    if "config.json" in names:
        raise RunError(
            f"{folder} holds a model that no run of Nextword left there, and a run would replace "
            "it. Choose an empty folder, a new one, or an earlier run's for --out."
        )
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    raise RunError(
        f"{folder} holds other things ({', '.join(others[:3])}{more}) and no model. Choose an "
        "empty folder, a new one, or an earlier run's for --out."
    )


def _without_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in which files of data are known by size and checksum, not by name."""

    def unnamed(value: Any) -> Any:
        if isinstance(value, Mapping):
            kept = {key: unnamed(item) for key, item in value.items()}
            return {key: kept[key] for key in kept if key != "name" or "sha256" not in kept}
        return [unnamed(item) for item in value] if isinstance(value, list) else value

    return {key: unnamed(value) for key, value in settings.items()}


def _differences(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say of each setting whose value is not the same what it was and what it is, in a sentence."""
    old, new = dict(_leaves("", earlier)), dict(_leaves("", now))
    names = [
        name
        for name in dict.fromkeys([*old, *new])
        if old.get(name, {}) != new.get(name, {})  # an empty table says what a missing one says
        or isinstance(old.get(name), bool) != isinstance(new.get(name), bool)  # 1 is 1.0, not true
    ]
    sentences = [
        "the data have another content"
        if name.startswith("data[")
        else f"{name.removeprefix('request.')}: {_show(old, name)} in the folder, "
        f"{_show(new, name)} now"
        for name in names
    ]
    return list(dict.fromkeys(sentences))


def _leaves(name: str, value: Any) -> list[tuple[str, Any]]:
    """Every value inside nested JSON with its full name, as in `data[0].size`."""
    if isinstance(value, Mapping) and (value or not name):
        dot = f"{name}." if name else ""
        return [leaf for key in value for leaf in _leaves(f"{dot}{key}", value[key])]
    if isinstance(value, list) and value:
        return [leaf for i, item in enumerate(value) for leaf in _leaves(f"{name}[{i}]", item)]
    return [(name, value)]


def _show(values: Mapping[str, Any], name: str) -> str:
    """A setting's value, short enough for a sentence."""
    if name not in values:
        return "nothing"
    text = json.dumps(values[name], ensure_ascii=False)
    return text if len(text) <= 48 else f"{text[:16]}…{text[-16:]}"


def _listed(differences: list[str]) -> str:
    more = len(differences) - SHOWN
    return "; ".join(differences[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _metric_values(line: bytes) -> dict[str, Any] | None:
    """The values in a line; None when it is damaged or torn."""
    try:
        values = json.loads(line)
    except ValueError:
        return None
    good = isinstance(values, dict) and isinstance(values.get("step"), int)
    return values if good and line.endswith(b"\n") else None
