"""Files that a killed run leaves whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """A path to write to; at the end it is on the disk and takes `file`'s place, or is gone."""
    partial = file.with_name(f"{file.name}.partial")
    try:
        yield partial
        with partial.open("ab") as written:
            os.fsync(written.fileno())
        os.replace(partial, file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
