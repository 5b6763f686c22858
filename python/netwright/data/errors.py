"""The one error of this package, for people."""

from __future__ import annotations

import errno


class DataError(Exception):
    """Why the data cannot be prepared, and what to do: `code` is for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def from_os_error(error: OSError, where: object) -> DataError:
    """The cause of a failed write below `where`."""
    place = error.filename or where
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(
            "data-disk-full",
            f"The disk is full: {place} could not be written. Free some space (a prepared data set "
            "takes up to 200 MB, a download as much again) or set NETWRIGHT_HOME to a larger disk.",
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return DataError(
            "data-no-access",
            f"{place} cannot be opened or written ({error.strerror}). Check its permissions, "
            "or set NETWRIGHT_HOME to a folder that you can write.",
        )
    return DataError(
        "data-io", f"{place}: {error.strerror or error}. Check the disk and try again."
    )
