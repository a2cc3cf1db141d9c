"""How the steps of a run are computed: what `choose.py` decides, and the plan of a run records."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nextword.config import Precision


@dataclass(frozen=True)
class Backend:
    """How the steps of a run are computed.

    Attributes:
        precision: of matrix products: "float32", "bfloat16", "int16" or "int8".
        shards: into how many parts a batch is split, each computed by one thread.
        native: whether each of them goes through all blocks in one call of C, on a single thread.
        muon_precision: of the products by which Muon orthogonalizes: "float32" or "bfloat16".
        speeds: precision → tokens per second that were measured; empty where nothing was.
        reason: why, for people.
    """

    precision: Precision
    shards: int
    native: bool
    muon_precision: Precision
    speeds: Mapping[Precision, float]
    reason: str

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON, to stand in the plan."""
        return dataclasses.asdict(self)
