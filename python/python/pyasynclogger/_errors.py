"""The exceptions of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Optional


class Error(Exception):
    """A log cannot be read. Damage is no error: the report of a reader has it."""

    #: The file or directory, if the error has one.
    path: Optional[Path]
    #: The offset in the file, in bytes, if the error has one.
    offset: Optional[int]

    def __init__(
        self,
        message: str,
        path: Optional[Path] = None,
        offset: Optional[int] = None,
        errno: Optional[int] = None,
    ) -> None:
        super().__init__(message)
        self.path = path
        self.offset = offset
        self.errno = errno


class NotALogError(Error):
    """The file is not a log, or the directory has no log, or none of the event."""


class UnsupportedVersionError(Error):
    """A later version of the format, which this version of the package does not know."""


class ReadError(Error, OSError):
    """The system refuses to read a file or a directory; ``errno`` says why."""


class DamageError(Error):
    """With ``strict``: everything was read, and something is damaged, lost or unread."""
