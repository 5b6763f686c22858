"""What a run is told: `run.json` and `corpus.jsonl`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netwright.tuning.base_model import Base, read_base


@dataclass(frozen=True)
class Settings:
    rank: int
    alpha: float
    dropout: float
    learningRate: float  # as in the study's file
    epochs: int
    accumulation: int
    gradient: str


@dataclass(frozen=True)
class Run:
    """What `run.json` says."""

    base: Base
    settings: Settings
    device: str
    threads: int | None
    max_tokens: int
    seed: int
    # Of everything the weights depend on: a checkpoint of another run is not gone on with.
    identity: str


def read_run(folder: Path) -> tuple[Run, list[dict[str, Any]]]:
    given = json.loads((folder / "run.json").read_text())
    corpus = (folder / "corpus.jsonl").read_text()
    # Wherever the base lies, and on whichever of several GPUs: the run is the same.
    what = {**given, "base": Path(given["base"]).name, "device": given["device"].split(":")[0]}
    run = Run(
        base=read_base(Path(given["base"])),
        settings=Settings(**given["settings"]),
        device=given["device"],
        threads=given["threads"],
        max_tokens=given["maxTokens"],
        seed=given["seed"],
        identity=hashlib.sha256(f"{json.dumps(what)}\0{corpus}".encode()).hexdigest(),
    )
    return run, [json.loads(line) for line in corpus.splitlines()]
