"""What was read from each file of a corpus, and what was left out: counted while reading."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from nextword.data.records.record_keys import MEANINGFUL_KEYS, fold

MAX_KEYS = 1000  # distinct keys counted in one file; the others are counted together
MAX_SHOWN = 8  # keys in a sentence
MAX_FILES = 20  # sentences; of more files, how many there are
OTHER_KEYS = "all other keys"


@dataclass(frozen=True, kw_only=True)
class ReadingReport:
    """What was read from one file.

    Attributes:
        name: of the file.
        is_dialogue: whether its documents are dialogues.
        documents: that were made from it.
        broken: lines or records that were passed over because they are broken.
        blank: records without any text.
        left_out: reason → records that are sound but no data.
        unused: key → records in which it stands, filled, without being used.
        notes: what was done on the way → how often.
        first: a note → where it was first the case.
    """

    name: str
    is_dialogue: bool
    documents: int
    broken: int = 0
    blank: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    unused: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    first: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Return True if everything in the file was read and used."""
        return not (self.broken or self.blank or self.left_out or self.unused or self.notes)

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain JSON, of which `ReadingReport(**…)` makes it again."""
        return asdict(self)


@dataclass
class Tally:
    """Counts what is read from one file."""

    name: str
    is_dialogue: bool = False
    documents: int = 0
    broken: int = 0
    blank: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def leave_unused(self, key: str, count: int = 1) -> None:
        """Count a key that is filled and not used."""
        known = key in self.unused or len(self.unused) < MAX_KEYS
        self.unused[key if known else OTHER_KEYS] += count

    def note(self, what: str, where: str = "") -> None:
        """Count something that was done while reading."""
        self.notes[what] += 1
        if where:
            self.first.setdefault(what, where)

    def report(self) -> ReadingReport:
        """Return what was counted so far."""
        return ReadingReport(
            name=self.name,
            is_dialogue=self.is_dialogue,
            documents=self.documents,
            broken=self.broken,
            blank=self.blank,
            left_out=dict(self.left_out),
            unused=dict(self.unused),
            notes=dict(self.notes),
            first=dict(self.first),
        )


def reading_lines(reports: Sequence[ReadingReport]) -> list[str]:
    """Return one sentence for each file of records, or text that was not read whole.

    Text files of which nothing was left out are counted together.
    """
    texts = [report for report in reports if not report.is_dialogue and report.is_plain]
    others = [report for report in reports if report.is_dialogue or not report.is_plain]
    lines = [reading_line(report) for report in others[:MAX_FILES]]
    if len(others) > MAX_FILES:
        rest = others[MAX_FILES:]
        documents = sum(report.documents for report in rest)
        lost = sum(report.broken + sum(report.left_out.values()) for report in rest)
        lines.append(
            f"read {len(rest):,} more files: {_count(documents, 'document')}, {lost:,} left out"
        )
    if texts:
        counted = _count(sum(report.documents for report in texts), "text")
        name = texts[0].name if len(texts) == 1 else f"{len(texts):,} files"
        lines.append(f"read {name}: {counted}; nothing was left out")
    return lines


def reading_line(report: ReadingReport) -> str:
    """Return what was read from one file and what was left out, in one sentence."""
    kind = "dialogue" if report.is_dialogue else "text"
    parts = list(_losses(report))
    said = "; ".join(parts) or "nothing was left out"
    return f"read {report.name}: {_count(report.documents, kind)}; {said}"


def _losses(report: ReadingReport) -> Iterator[str]:
    """Yield what was left out, and what was done, in words."""
    if report.broken:
        yield f"{_count(report.broken, 'broken line')} skipped"
    if report.blank:
        yield f"{_count(report.blank, 'record')} without text"
    for reason, count in report.left_out.items():
        yield f"{_count(count, 'record')} left out: {reason}"
    matter = {key: n for key, n in report.unused.items() if fold(key) in MEANINGFUL_KEYS}
    if matter:
        yield f"not used, though they may matter: {_keys(matter)}"
    if rest := {key: n for key, n in report.unused.items() if key not in matter}:
        yield f"keys without a use: {_keys(rest)}"
    for what, n in report.notes.items():
        first = f" (first: {report.first[what]})" if what in report.first else ""
        yield f"{n:,} × {what}{first}"


def _keys(counts: Mapping[str, int]) -> str:
    shown = [
        f"{key} ({n:,})" if key == OTHER_KEYS else f"{key!r} ({n:,})"
        for key, n in list(counts.items())[:MAX_SHOWN]
    ]
    more = len(counts) - len(shown)
    return ", ".join([*shown, f"and {more:,} more"] if more > 0 else shown)


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
