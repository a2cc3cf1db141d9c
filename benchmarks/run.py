"""All benchmarks, one after the other, as `make bench` runs them; results go to results/.

Run: python benchmarks/run.py [NAME …]
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = {  # name → what is run; about two and a half hours in all on two cores
    "attention_kernels": "attention_kernels.py",
    "training_speed": "training_speed.py",
    "profile_step": "profile_step.py",
    "growth": "growth.py",
    "busy": "busy.py",
    "exact_replies": "exact_replies.py",  # over an hour; goes on where it was interrupted
    "time_to_quality": "time_to_quality.py",
    "kills": "kills.py",
    "corrections": "corrections.py",
    "memory_of_shards": "memory_of_shards.py",
    "real_texts": "real_texts.py shakespeare wikitext gsm8k",
    "gpu": "gpu.py",  # says so and ends where there is no GPU
    "minutes": "minutes.py",  # over an hour; goes on where it was interrupted
}


def main() -> int:
    """Run those that are named, or all; the number of those that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROGRAMS))
    names: list[str] = parser.parse_args().names or list(PROGRAMS)
    for name in names:
        if name not in PROGRAMS:
            parser.error(f"no benchmark {name!r}; there are: {', '.join(PROGRAMS)}")
    failed = 0
    for name in names:
        program, *arguments = shlex.split(PROGRAMS[name])
        print(f"\n## {name}\n", flush=True)
        failed += subprocess.run([sys.executable, str(HERE / program), *arguments]).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
