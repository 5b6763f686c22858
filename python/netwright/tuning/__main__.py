"""`python -m netwright.tuning [--plan] FOLDER`: a LoRA run (arXiv 2106.09685) on a model.

FOLDER holds `run.json` (base, settings, device, threads, maxTokens, seed) and `corpus.jsonl` (one
example a line: messages, prefill, answer, heldOut). The run keeps `checkpoint.pt` there, from which
it goes on exactly where it was killed, and leaves `adapter.gguf`. Events leave as JSON lines on
descriptor 3:

    {"type": "plan", "architecture", "memoryMiB", "freeMemoryMiB", "tooLong", "obstacle"}
    {"type": "progress", "stage", "step", "steps", "points", "tokensPerSecond",
     "secondsLeft"}
    {"type": "done", "run"}
    {"type": "failed", "code", "message"}

`--plan` only says what it would take, without loading PyTorch. The end of the input ends the run.
"""

from __future__ import annotations

import errno
import math
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

from netwright.tuning.base_model import MIB, TuningError
from netwright.tuning.events import emit, report
from netwright.tuning.memory import HALF, fit, needed, usable_memory, ways
from netwright.tuning.run import read_run
from netwright.tuning.tuner import Tuner, use_threads


def plan(folder: Path) -> None:
    """Estimates from the model's header and the corpus' characters."""
    run, corpus = read_run(folder)
    # About 3.2 characters of code a token; less is on the safe side.
    lengths = [
        (
            len("".join(m["content"] for m in e["messages"]) + e["prefill"]) // 3 + 32,
            len(e["answer"]) // 3,
        )
        for e in corpus
    ]
    fitting = [(q, a) for q, a in lengths if q + a <= run.max_tokens] or [
        (run.max_tokens, run.max_tokens // 4)
    ]
    # A processor may choose half as much: measuring that would take PyTorch.
    possible = ways(run, HALF if run.device != "cpu" else 4)
    obstacle = None
    try:
        fit(run, fitting, possible)
    except TuningError as error:
        obstacle = str(error)
    emit(
        {
            "type": "plan",
            "architecture": run.base.architecture,
            "memoryMiB": math.ceil(needed(run, fitting, replace(possible[0], batch=1)) / MIB),
            "freeMemoryMiB": usable_memory(run.device) // MIB,
            "tooLong": len(lengths) - len(fitting),
            "obstacle": obstacle,
        }
    )


def tune(folder: Path) -> None:
    run, corpus = read_run(folder)
    report("loading")
    use_threads(run.threads)
    tuner = Tuner(run, folder, corpus)
    tuner.train()
    report("converting", tuner.progress.step, tuner.progress.step)
    emit({"type": "done", "run": tuner.account(tuner.write())})


def failure(error: BaseException, folder: Path) -> tuple[str, str]:
    """A failure as its code and its words for people."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, TuningError):
        return error.code, str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            "disk-full",
            f"The disk is full: {folder} cannot be written. Free some space; the run then goes on.",
        )
    # Here and not above: it loads PyTorch, which an estimate does without.
    from netwright.candidate import is_out_of_memory

    if is_out_of_memory(error, text) or "CUBLAS_STATUS_ALLOC_FAILED" in text:
        return (
            "tuner-memory",
            'Tuning ran out of memory. Close other programs; or lower "tuner.maxTokens" or '
            '"tuner.rank" or choose a smaller "designer.model", and start over.',
        )
    if isinstance(error, OSError):
        return "tuner-files", f"{error}. Correct that; the run goes on where it was."
    return "tuner-failed", f"The LoRA run failed: {text}"


def end_with_input() -> None:
    """The parent holds the other end: its death ends this process."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main() -> int:
    *options, name = sys.argv[1:]
    folder = Path(name)
    end_with_input()
    try:
        if options == ["--plan"]:
            plan(folder)
        else:
            tune(folder)
    except Exception as error:
        code, message = failure(error, folder)
        emit({"type": "failed", "code": code, "message": message})
        if code == "tuner-failed":
            raise
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
