"""What a run tells its parent: JSON lines on descriptor 3. See __main__.py for their shapes."""

from __future__ import annotations

import json
import os
from typing import Any

EVENTS = 3


def emit(event: dict[str, Any]) -> None:
    os.write(EVENTS, (json.dumps(event) + "\n").encode())


def report(
    stage: str,
    step: int = 0,
    steps: int = 0,
    points: list[dict[str, Any]] | None = None,
    tokens_per_second: float | None = None,
    seconds_left: float | None = None,
) -> None:
    emit(
        {
            "type": "progress",
            "stage": stage,
            "step": step,
            "steps": steps,
            "points": points or [],
            "tokensPerSecond": tokens_per_second,
            "secondsLeft": seconds_left,
        }
    )
