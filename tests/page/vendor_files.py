"""Fetch the vendored files of the page and of its tests anew, or compare them with their checksums.

    python tests/page/vendor_files.py           fetch what each vendored.json names, and write it
    python tests/page/vendor_files.py --check   compare the files with their SHA-256; no network

Fetching needs npm: `npm pack PACKAGE@VERSION` downloads from the registry that npm is set to use.
To take another version, change it in vendored.json, fetch, and read the difference.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LISTS = (
    ROOT / "src/nextword/serve/page/vendor/vendored.json",
    ROOT / "tests/page/vendor/vendored.json",
)
_SPECIFIER = re.compile(rb'\b(from|import)(\s*)"([^"]+)"')
_SOURCE_MAP = re.compile(rb"\n//# sourceMappingURL=[^\n]*")

Entry = dict[str, Any]  # package, version, license, from, file, sha256_original, sha256


def sha256(data: bytes) -> str:
    """The checksum as vendored.json has it."""
    return hashlib.sha256(data).hexdigest()


def for_browsers(data: bytes) -> bytes:
    """A module as a browser finds it without a build: relative specifiers, no source map."""

    def relative(match: re.Match[bytes]) -> bytes:
        keyword, space, name = match.groups()
        if name.startswith(b"."):
            return match[0]
        file = name.rsplit(b"/", 1)[-1]
        suffix = b"" if file.endswith(b".js") else b".js"
        return keyword + space + b'"./' + file + suffix + b'"'

    return _SOURCE_MAP.sub(b"", _SPECIFIER.sub(relative, data))


def written(entry: Entry, original: bytes) -> bytes:
    """What is kept of a published file: Lit's modules are linked anew, the rest is left alone."""
    is_module = entry["file"].startswith("lit/") and entry["file"].endswith(".js")
    return for_browsers(original) if is_module else original


def differences(list_path: Path) -> list[str]:
    """One line for each file that is not what vendored.json says, is missing, or is not named."""
    folder, entries = list_path.parent, _entries(list_path)
    wrong = []
    for entry in entries:
        path = folder / entry["file"]
        found = sha256(path.read_bytes()) if path.is_file() else "no such file"
        if found != entry["sha256"]:
            wrong.append(f"{path}: {found}, expected {entry['sha256']}")
    own = {"vendored.json", "README.md", *(entry["file"] for entry in entries)}
    files = (path for path in folder.rglob("*") if path.is_file())
    strangers = (path for path in files if path.relative_to(folder).as_posix() not in own)
    return wrong + [f"{path}: not named in vendored.json" for path in sorted(strangers)]


def fetch(list_path: Path) -> None:
    """Write every file of a list anew from its package, and the list with their checksums."""
    entries = _entries(list_path)
    with TemporaryDirectory() as folder:
        packages: dict[tuple[str, str], dict[str, bytes]] = {}
        for entry in entries:
            if entry["version"] is None:  # our own
                continue
            key = (entry["package"], entry["version"])
            if key not in packages:
                packages[key] = _unpacked(*key, Path(folder))
            original = packages[key][entry["from"]]
            data = written(entry, original)
            entry |= {"sha256_original": sha256(original), "sha256": sha256(data)}
            (list_path.parent / entry["file"]).write_bytes(data)
    list_path.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")


def _entries(list_path: Path) -> list[Entry]:
    entries: list[Entry] = json.loads(list_path.read_text(encoding="utf-8"))
    return entries


def _unpacked(package: str, version: str, folder: Path) -> dict[str, bytes]:
    """The files of a published package, by their path in it."""
    command = ["npm", "pack", "--json", f"{package}@{version}"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    archive = folder / json.loads(done.stdout)[0]["filename"]
    target = folder / archive.stem
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    root = target / "package"
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def main() -> int:
    """Fetch, or check; 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare only")
    if not parser.parse_args().check:
        for list_path in LISTS:
            fetch(list_path)
    wrong = [line for list_path in LISTS for line in differences(list_path)]
    print("\n".join(wrong) or "all vendored files are as vendored.json says")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
