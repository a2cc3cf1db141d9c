"""Ways to damage a file, for tests of what is done with a damaged one."""

from collections.abc import Callable, Iterator
from pathlib import Path

Damage = Callable[[Path], None]


def flip(place: float, bit: int) -> Damage:
    """Return a damage that flips one bit; `place` from 0, the first byte, to 1, the last."""

    def flipped(path: Path) -> None:
        content = bytearray(path.read_bytes())
        if content:
            content[round(place * (len(content) - 1))] ^= 1 << bit
            _write(path, content)

    return flipped


def cut(path: Path) -> None:
    """Cut ten bytes off the end."""
    _write(path, path.read_bytes()[:-10])


def empty(path: Path) -> None:
    """Leave nothing in the file."""
    _write(path, b"")


def delete(path: Path) -> None:
    """Remove the file."""
    path.unlink()


def _write(path: Path, content: bytes | bytearray) -> None:
    """Write another file of that name: a second name of the old one keeps the old content."""
    path.unlink()
    path.write_bytes(content)


DAMAGES: dict[str, Damage] = {
    "flip at the start": flip(0.02, 1),
    "flip in the first half": flip(0.31, 0),
    "flip in the middle": flip(0.5, 4),
    "flip in the second half": flip(0.77, 2),
    "flip near the end": flip(0.985, 6),
    "cut": cut,
    "empty": empty,
    "delete": delete,
}


def files_below(folder: Path) -> Iterator[Path]:
    """Yield every file of a folder and its subfolders, in order, by its path from there."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder)
