"""The bound on spinning is set before torch is loaded, unless a person decided."""

import os
import subprocess
import sys

import pytest

from nextword.common.openmp import SPINS

SHOW = "import os, nextword; print(os.environ.get('GOMP_SPINCOUNT'))"


def shown(code: str = SHOW, **given: str) -> str:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("GOMP", "OMP"))}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=clean | given, capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def test_importing_nextword_sets_it() -> None:
    assert shown() == str(SPINS)


@pytest.mark.parametrize(
    ("given", "left"),
    [({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_what_a_person_decided_stays(given: dict[str, str], left: str) -> None:
    assert shown(**given) == left


def test_after_torch_was_loaded_it_would_come_too_late() -> None:
    code = "import sys, types; sys.modules['torch'] = types.ModuleType('torch'); " + SHOW
    assert shown(code) == "None"
