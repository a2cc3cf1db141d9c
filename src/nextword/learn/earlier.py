"""The models that learn before the one that is kept, and that others learn from (generations.py).

Each has a run's folder of its own, OUT/training/earlier/1 and so on, which is removed at the end;
so each goes on where it was broken off.
"""

import contextlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from nextword.errors import StoppedError
from nextword.learn.run import EARLIER, Run
from nextword.learn.trainer import Trainer
from nextword.model.decoder import Decoder


class Earlier:
    """What they learned, and how long it took; a context manager, which frees their folders.

    Args:
        out: the folder of the model that will be kept.
        digest: of the settings of the training that they belong to.
        started: on the clock, when the program began.
        note: is told, in one sentence, of each thing that a person should know.

    Attributes:
        decoders: those that have learned, in their order.
        steps: that they took.
        seconds: spent in those.
        gone: seconds that earlier sittings used.
        began: on the clock, from when on the next one uses time.
    """

    def __init__(
        self, out: Path, *, digest: str, started: float, note: Callable[[str], None]
    ) -> None:
        self.decoders: list[Decoder] = []
        self.steps = 0
        self.seconds = self.gone = 0.0
        self.began = started
        self._out, self._folder = out, out / "training" / EARLIER
        self._digest, self._note = digest, note
        self._held = contextlib.ExitStack()

    def __enter__(self) -> "Earlier":
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()

    def open(self, model: int) -> Run:
        """The folder of one of them, from 1; held until the end.

        Raises:
            RunError, RunBusyError: as `Run.open`.
        """
        folder, settings = self._folder / str(model), {"settings": self._digest}
        return self._held.enter_context(Run.open(folder, settings, warn=self._note))

    def learn(self, trainer: Trainer) -> None:
        """Let the next one learn what it has not learned in an earlier sitting.

        Raises:
            StoppedError: as `Trainer.fit`; everything is saved.
        """
        name = len(self.decoders) + 1
        if trainer.resume():
            self.gone += trainer.pace.used
            if trainer.step < trainer.pace.steps:
                self._note(f"model {name} goes on from step {trainer.step}")
        first = trainer.step
        try:
            trainer.fit()
        except StoppedError as stopped:
            raise StoppedError(
                f"stopped at step {trainer.step} of model {name}; everything is saved in "
                f"{self._out}. The same command goes on from here"
            ) from stopped
        if trainer.step > first:
            self._tell(name, trainer)
            self.began = time.monotonic()
        self.steps += trainer.step
        self.seconds += trainer.pace.seconds
        trainer.decoder.zero_grad(set_to_none=True)
        self.decoders.append(trainer.decoder)

    def _tell(self, name: int, trainer: Trainer) -> None:
        """Say how good it has become."""
        with trainer.own_precision():
            scores = trainer.final_scores()
        if scores is not None:
            self._note(f"model {name} has learned: held-out loss {scores.loss:.4f}")

    def remove(self) -> None:
        """Leave nothing of them behind."""
        self._held.close()
        if self._folder.exists():
            shutil.rmtree(self._folder)
