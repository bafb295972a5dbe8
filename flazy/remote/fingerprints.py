"""What code lies on this machine under the name of a module, found without importing anything.

A fingerprint is text, in parts that a semicolon divides::

    local; file 81c5…; package 6a0f…; 3 files, 1,234 bytes
    installed; file 81c5…; version 1.2
    extension; version 1.2

``installed`` is what lies in site-packages, where files change with the version alone: a large package is not looked
through.  ``local`` is what somebody may be editing.  Of an ``extension``, which is no Python source, it is known only
that it is there.

The one rule: to look for a module runs none of its code, nor of the packages that it is in.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.machinery
import importlib.metadata
import os
import pathlib
import site
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

__all__ = ["fingerprint", "fingerprints", "is_installed", "is_standard"]

MOST_FILES = 2000  # of a package that somebody may be editing, and
MOST_INSTALLED = 100  # of one that is installed; and
MOST_BYTES = 32 * 2**20  # in all: of a larger one only the module's own file is compared
KEPT = 20_000  # files whose hashes are kept
NO_SOURCE = frozenset({"__pycache__", "node_modules"})

Stamp = tuple[int, int]
_hashes: dict[str, tuple[Stamp, str]] = {}


def fingerprints(names: Iterable[str]) -> dict[str, str | None]:
    """Describe the code of several modules; each package is looked through once.

    May be called in any thread; lists folders, and reads files unless they are those of the last time.
    """
    packages: dict[str, list[str]] = {}
    return {name: _described(name, packages) for name in names}


def fingerprint(name: str) -> str | None:
    """Describe the code of a module as it lies on disk now; None where there is none."""
    return _described(name, {})


def _described(name: str, packages: dict[str, list[str]]) -> str | None:
    found = list(_found(name)) if all(map(str.isidentifier, name.split("."))) else []
    if len(found) <= name.count("."):
        return None
    spec = found[-1]
    if spec.origin in {"built-in", "frozen"}:
        return "extension"
    if spec.origin is None:
        return "local; file namespace"  # a folder without code: what lies in it is looked for by its own name
    is_local = not is_installed(spec.origin)
    version = "" if is_local else _version(name.partition(".")[0])
    told = [f"version {version}"] if version else []
    if not spec.origin.endswith(".py"):
        return "; ".join(["extension", *told])
    if (own := _own(spec)) is None:
        return None  # it was loaded once, and is gone
    root = next(each for each in found if each.origin is not None)
    key = str(root.origin)
    if key not in packages:
        packages[key] = _package(root, MOST_FILES if is_local else MOST_INSTALLED)
    return "; ".join(["local" if is_local else "installed", f"file {own}", *packages[key], *told])


# Where it is ------------------------------------------------------------------------------------------


def _found(name: str) -> Iterator[importlib.machinery.ModuleSpec]:
    """Yield the specs of a dotted name from its first part on, as far as they can be found.

    ``importlib.util.find_spec`` would import the packages that the module is in.
    """
    path: Sequence[str] | None = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        spec = _spec(".".join(parts[:depth]), path)
        if spec is None:
            return
        yield spec
        path = _locations(spec)
        if path is None:
            return


def _spec(name: str, path: Sequence[str] | None) -> importlib.machinery.ModuleSpec | None:
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if isinstance(loaded, importlib.machinery.ModuleSpec) and loaded.name == name:
        return loaded  # where it came from, though the path may have changed since
    for finder in list(sys.meta_path):
        if (spec := _asked(finder, name, path)) is not None:
            return spec
    # A folder without code inside another: Python's own finder would look for the other among the loaded modules.
    places = [str(place) for entry in path or () if (place := pathlib.Path(entry, name.rpartition(".")[2])).is_dir()]
    if not places:
        return None
    spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = places
    return spec


def _asked(finder: Any, name: str, path: Sequence[str] | None) -> importlib.machinery.ModuleSpec | None:
    """Ask one finder; those of editable installs are among them, and each may fail in a way of its own."""
    try:
        spec = finder.find_spec(name, path)
    except Exception:  # noqa: BLE001 - a finder that fails has not found it
        return None
    return spec if isinstance(spec, importlib.machinery.ModuleSpec) else None


def _locations(spec: importlib.machinery.ModuleSpec) -> Sequence[str] | None:
    try:
        return None if spec.submodule_search_locations is None else list(spec.submodule_search_locations)
    except KeyError:  # of a folder without code, which would look up the package that it is in
        return None


# What it is -------------------------------------------------------------------------------------------


def _own(spec: importlib.machinery.ModuleSpec) -> str | None:
    """Hash the source of one module; None where it cannot be read."""
    origin = str(spec.origin)
    if (known := _hash_of(origin)) is not None:
        return known[0]
    try:
        return _short(spec.loader.get_data(origin))  # type: ignore[union-attr]  # of a zip file, or None
    except (OSError, AttributeError):
        return None


def _package(root: importlib.machinery.ModuleSpec, most: int) -> list[str]:
    """Hash all sources of a package: names and contents; nothing, where there are too many."""
    if root.origin is None or not root.submodule_search_locations:
        return []
    folder = pathlib.Path(root.origin).parent
    if (files := _python_files(folder, most)) is None:
        return []
    whole, size = hashlib.sha256(), 0
    for path in files:
        known = _hash_of(str(path))
        size += known[1] if known is not None else 0
        if known is None or size > MOST_BYTES:
            return []
        whole.update(f"{path.relative_to(folder).as_posix()}\0{known[0]}\n".encode(errors="surrogateescape"))
    return [f"package {whole.hexdigest()[:16]}", f"{len(files)} files, {size:,} bytes"] if files else []


def _python_files(folder: pathlib.Path, most: int) -> list[pathlib.Path] | None:
    """List the sources beneath a folder, in order; None where there are too many.

    What is hidden does not count, nor what is an environment of its own.
    """
    files: list[pathlib.Path] = []
    for place, folders, names in os.walk(folder):
        here = pathlib.Path(place)
        folders[:] = [name for name in folders if _holds_source(here / name)]
        files += [here / name for name in names if name.endswith(".py")]
        if len(files) > most:
            return None
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def _holds_source(folder: pathlib.Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in NO_SOURCE
    return not hidden and not (folder / "pyvenv.cfg").exists()


def _hash_of(file: str) -> tuple[str, int] | None:
    """Hash one file, and tell its size; read only where it is not as it was."""
    try:
        found = pathlib.Path(file).stat()
        stamp = found.st_mtime_ns, found.st_size
        kept, digest = _hashes.get(file, ((0, 0), ""))
        if kept != stamp or not digest:
            if found.st_size > MOST_BYTES:
                return None
            digest = _short(pathlib.Path(file).read_bytes())
    except OSError:
        return None
    if len(_hashes) >= KEPT:
        _hashes.clear()
    _hashes[file] = stamp, digest
    return digest, found.st_size


def _short(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()[:16]


@functools.lru_cache(1000)
def _version(package: str) -> str:
    """Give the version of an installed package whose distribution is called as it is; others are not searched for."""
    try:
        return importlib.metadata.version(package)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return ""


# Whose it is ------------------------------------------------------------------------------------------


@functools.cache
def _site() -> tuple[str, ...]:
    places = [*site.getsitepackages(), site.getusersitepackages()]
    return tuple({os.path.realpath(place) + os.sep for place in places} | {place + os.sep for place in places})


def is_installed(file: str) -> bool:
    """Say whether a file lies where packages are installed, of this environment or of any other."""
    return file.startswith(_site()) or not {"site-packages", "dist-packages"}.isdisjoint(pathlib.Path(file).parts)


def is_standard(name: str) -> bool:
    """Say whether a module is part of Python."""
    return name.partition(".")[0] in sys.stdlib_module_names
