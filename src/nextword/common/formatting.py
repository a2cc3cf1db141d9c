"""Counts and sizes in words."""

UNITS = (("MB", 1e6), ("kB", 1e3))


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return `1 document`, `2,000 documents`; `plural` where it does not end in a plain `s`."""
    several = f"{noun}s" if plural is None else plural
    return f"{number:,} {noun if number == 1 else several}"


def size(n_bytes: float) -> str:
    """Return bytes as `5,000 MB`, `12 kB` or `7 bytes`, never as 0 of a larger unit."""
    for unit, of in UNITS:
        if n_bytes >= of:
            return f"{n_bytes / of:,.0f} {unit}"
    return count(round(n_bytes), "byte")
