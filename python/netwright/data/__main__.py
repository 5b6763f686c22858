"""`python -m netwright.data prepare`: see the package's docstring."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from netwright.data.cache import prepare
from netwright.data.download import Report
from netwright.data.errors import DataError


def main(arguments: list[str] | None = None) -> int:
    """Prepares a data set; writes JSON lines; returns 0, or 1 after an `error` line."""
    parser = argparse.ArgumentParser(prog="python -m netwright.data", description=__doc__)
    command = parser.add_subparsers(dest="command", required=True).add_parser("prepare")
    command.add_argument("--dataset", required=True, choices=["cifar10", "fashion-mnist", "digits"])
    command.add_argument(
        "--source", type=Path, help="a folder or an archive (default: its own source)"
    )
    command.add_argument("--cache", type=Path, required=True, help="the folder to make")
    command.add_argument("--validation", type=int, required=True, help="images to hold out")
    command.add_argument("--seed", type=int, required=True, help="of the split and the order")
    command.add_argument("--no-download", action="store_true")
    options = parser.parse_args(arguments)
    # Ends through `finally`, so that nothing half-written stays.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        meta = prepare(
            options.dataset,
            options.source and options.source.absolute(),
            options.cache.absolute(),
            options.validation,
            options.seed,
            not options.no_download,
            _reporter(),
        )
    except DataError as error:
        _say({"type": "error", "code": error.code, "message": error.message})
        return 1
    _say({"type": "ready", "path": str(options.cache.absolute()), "meta": meta})
    return 0


def _reporter() -> Report:
    """Writes progress at most ten times a second, and ends this process when its parent is gone."""
    parent = os.getppid()
    last: dict[str, float] = {}

    def report(what: str, done: int, total: int) -> None:
        if os.getppid() != parent:
            sys.exit(1)
        now = time.monotonic()
        if done >= total or now - last.get(what, 0.0) >= 0.1:
            last[what] = now
            _say({"type": "progress", "what": what, "done": done, "total": total})

    return report


def _say(message: dict[str, object]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    sys.exit(main())
