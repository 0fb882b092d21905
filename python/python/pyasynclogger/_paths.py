"""Paths as they are typed."""

from __future__ import annotations

import os
from typing import Iterable, List, Union

Path = Union[str, bytes, "os.PathLike[str]"]

#: A file, a directory, or several of them.
Paths = Union[Path, Iterable[Path]]


def to_list(paths: Paths) -> List[str]:
    """The paths as a list of at least one."""
    if isinstance(paths, (str, bytes, os.PathLike)):
        return [_local(paths)]
    found = [_local(path) for path in paths]
    if not found:
        raise ValueError("there is no path to read")
    return found


def _local(path: Path) -> str:
    text = os.fsdecode(path)
    if text.startswith("file://"):
        return text[len("file://") :]
    if text.startswith("file:/"):
        return text[len("file:") :]
    if "://" in text:
        raise ValueError(f"{text}: only local files can be read, no URL")
    return text
