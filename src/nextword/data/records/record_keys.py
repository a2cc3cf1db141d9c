"""The keys of records: the names that have a meaning, and how given names are matched to them."""

from collections.abc import Iterable, Mapping

from nextword.errors import ConfigError, unknown

DIALOGUE_KEYS = (  # in this order: a record of messages often repeats the first as its "prompt"
    ("messages",),
    ("conversations",),
    ("instruction", "output"),
    ("prompt", "reply"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
)
TEXT_KEYS = ("text",)
FURTHER_KEYS = ("input", "system", "history", "context", "weight")
KNOWN_KEYS = frozenset(
    [key for keys in (*DIALOGUE_KEYS, TEXT_KEYS) for key in keys] + list(FURTHER_KEYS)
)
MEANINGFUL_KEYS = frozenset(  # read by no shape, but likely to matter to whoever gave them
    [
        *("rejected", "chosen", "label", "labels", "score", "rating"),
        *("tools", "functions", "tool_calls", "function_call"),
        *("image", "images", "audio", "audios", "video", "videos"),
        *("reasoning", "reasoning_content", "thinking", "thought"),
        *FURTHER_KEYS,
    ]
)
MESSAGE_PAIRS = (("role", "content"), ("from", "value"))  # who speaks, and what is said


def fold(key: str) -> str:
    """Return a key as it is compared: without outer spaces, in lower case."""
    return key.strip().lower()


def check_columns(columns: Mapping[str, str]) -> None:
    """Refuse names of columns that stand for nothing.

    Raises:
        ConfigError: a name is unknown, or a column is empty.
    """
    if not isinstance(columns, Mapping):
        raise ConfigError(f"columns is {columns!r}; it must be a table of NAME = COLUMN")
    for name, column in columns.items():
        if name not in KNOWN_KEYS:
            raise ConfigError(unknown("name in --columns", name, sorted(KNOWN_KEYS)))
        if not isinstance(column, str) or not column.strip():
            raise ConfigError(f"--columns {name}={column} names no column; write {name}=COLUMN")


class KeyNames:
    """Matches the keys of records to the names that the shapes know."""

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        """Remember names that were given on purpose.

        Args:
            columns: known name → the key or column that stands for it.
        """
        self.columns = dict(columns or {})
        self._keys: tuple[str, ...] = ()
        self._names: dict[str, str] = {}

    def of(self, keys: Iterable[str]) -> dict[str, str]:
        """Return each given key's name: a known one, or the key itself.

        A column named on purpose wins, then the exact name, then one in other letter case.
        """
        given = tuple(keys)
        if given != self._keys or not self._names:
            self._keys, self._names = given, self._match(given)
        return self._names

    def renamed(self, record: Mapping[str, object]) -> dict[str, object]:
        """Return a record under the names of its keys."""
        names = self.of(record)
        return {names[key]: value for key, value in record.items()}

    def _match(self, given: tuple[str, ...]) -> dict[str, str]:
        names: dict[str, str] = {}
        taken = {}
        folded: dict[str, str] = {}
        for key in given:
            folded.setdefault(fold(key), key)
        present = set(given)
        for name, column in self.columns.items():
            found = column if column in present else folded.get(fold(column))
            if found is not None and found not in names:
                names[found] = taken[name] = name
        for key in given:
            if key in KNOWN_KEYS and key not in taken and key not in names:
                names[key] = taken[key] = key
        for key in given:
            name = fold(key)
            if key not in names and name in KNOWN_KEYS and name not in taken:
                names[key] = taken[name] = name
        return {key: names.get(key, key if key not in taken else f" {key}") for key in given}


def is_dialogue_header(keys: Iterable[str], columns: Mapping[str, str]) -> bool:
    """Return True if these keys are those of a prompt and its reply."""
    names = set(KeyNames(columns).of(keys).values())
    return any(names.issuperset(wanted) for wanted in DIALOGUE_KEYS)


def is_record(value: object, columns: Mapping[str, str]) -> bool:
    """Return True if a JSON value is an object in a known shape."""
    if not isinstance(value, dict):
        return False
    names = set(KeyNames(columns).of(value).values())
    return any(names.issuperset(wanted) for wanted in (*DIALOGUE_KEYS, TEXT_KEYS))


def is_message(value: object) -> bool:
    """Return True if a JSON value is one message of a dialogue."""
    if not isinstance(value, dict):
        return False
    keys = {fold(key) for key in value}
    return any(keys.issuperset(pair) for pair in MESSAGE_PAIRS) or (
        "role" in keys and "tool_calls" in keys
    )


def is_messages(value: object) -> bool:
    """Return True if a JSON value is a list of messages, one whole dialogue."""
    return isinstance(value, list) and bool(value) and all(map(is_message, value))
