"""The plan of a run in its folder, training/plan.json: written before the first step."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nextword.common.checked_json import read_checked_json, write_checked_json
from nextword.errors import ConfigError, FolderError, RunError
from nextword.training.plan.plan import Plan

MEND = "Put it back from a copy, or start over with --fresh"


@dataclass(frozen=True, kw_only=True)
class KeptPlan:
    """What a run keeps when it begins.

    Attributes:
        plan: every setting.
        tokenizer: the fingerprint of the run's tokenizer.
        prompting: the fingerprint of how it encodes texts and dialogues; None in runs of 0.1.
        settings: a digest of what identifies the run.
        data: `Prepared.digest`; None in runs of version 0.1.
    """

    plan: Plan
    tokenizer: str
    prompting: str | None
    settings: str
    data: str | None


def write_plan(path: Path, kept: KeptPlan) -> None:
    """Write the file, whole or not at all."""
    values = {"plan": kept.plan.as_json(), "tokenizer": kept.tokenizer, "settings": kept.settings}
    write_checked_json(path, values | {"prompting": kept.prompting, "data": kept.data})


def read_plan(path: Path) -> KeptPlan:
    """Read what `write_plan` wrote, or version 0.1.

    Raises:
        RunError: the file is damaged, or of a run that can no longer be finished.
    """
    try:
        values = read_checked_json(path)
        return KeptPlan(
            plan=plan_from(values["plan"]),
            tokenizer=str(values["tokenizer"]),
            prompting=values.get("prompting"),
            settings=str(values["settings"]),
            data=values.get("data"),
        )
    except FolderError as error:
        raise RunError(f"{error}. {MEND}") from error
    except (KeyError, ValueError) as error:
        raise RunError(f"{path} is damaged: {error}. {MEND}") from error


def plan_from(values: Any) -> Plan:
    """Return the plan that some JSON describes.

    Raises:
        ValueError: it describes none.
        RunError: see `Plan.from_json`.
    """
    try:
        return Plan.from_json(values)
    except (AttributeError, ConfigError, KeyError, TypeError) as error:
        raise ValueError(f"it holds no plan: {error}") from error


def check_against(path: Path, kept: KeptPlan, saved: dict[str, Any] | None) -> None:
    """Compare the plan in a folder with the one that the run's newest checkpoint holds.

    Args:
        path: of the plan, for the message.
        kept: what `read_plan` gave.
        saved: the settings in the checkpoint; None where there is none.

    Raises:
        RunError: they differ, so the plan was changed or damaged.
    """
    if saved is not None and _as_text(plan_from(saved)) != _as_text(kept.plan):
        raise RunError(
            f"{path} is not the plan that the newest checkpoint was trained by, so it was changed "
            f"or damaged. {MEND}"
        )


def _as_text(plan: Plan) -> str:
    return json.dumps(plan.as_json(), sort_keys=True)
