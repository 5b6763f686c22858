"""What a child says is untrusted; what its end means."""

from __future__ import annotations

import errno
import json
import os
import signal
from typing import cast

import pytest
import torch

from netwright import worker
from netwright.child import Settings
from netwright.prepared import Prepared
from netwright.worker import SPARE_ATTEMPTS, Garbage, Worker, death, parse_message

FAILURE = {"outcome": "train", "message": "m", "line": 3, "source": "s"}
FAILED = {"type": "result", "status": "failed", "failure": FAILURE, "parameters": None}
TRAINED = {
    "type": "result",
    "status": "trained",
    "predictions": {"validation": None, "test": "AAEC"},
    "trainSeconds": 1.5,
    "evaluateSeconds": 0,
    "peakMemoryMiB": 10,
}
NODE = {"op": "add", "attributes": "", "shape": [2, 3], "inputs": [0, 1]}
CHECKED = {
    "type": "result",
    "status": "checked",
    "parameters": 5,
    "graph": {"nodes": [NODE], "output": 0},
}
PROGRESS = {"type": "progress", "epoch": 1, "batch": 2, "batches": 3, "secondsLeft": None}
GOOD = [
    {"type": "ready", "deviceName": "CPU", "sandbox": ["seccomp"]},
    {"type": "stage", "stage": "train"},
    PROGRESS,
    FAILED,
    TRAINED,
    CHECKED,
    {"type": "result", "status": "error", "message": "m"},
]


@pytest.mark.parametrize("message", GOOD)
def test_passes_what_the_protocol_has_and_nothing_else(message: dict[str, object]) -> None:
    assert parse_message(json.dumps({**message, "id": 99, "extra": 1}).encode()) == message


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"null",
        b'"result"',
        b'{"type": ["result"]}',
        b'{"type": "fatal", "message": "x"}',
        b'{"type": "started", "id": 1}',
        b'{"type": "stage", "stage": "done"}',
        b'{"type": "stage", "stage": []}',
        json.dumps({**PROGRESS, "batch": -1}).encode(),
        json.dumps({**PROGRESS, "batch": True}).encode(),
        json.dumps({**PROGRESS, "batch": 1e300}).encode(),
        json.dumps({**PROGRESS, "secondsLeft": float("nan")}).encode(),
        json.dumps({**FAILED, "failure": {**FAILURE, "outcome": "valid"}}).encode(),
        json.dumps({**FAILED, "failure": {**FAILURE, "outcome": []}}).encode(),
        json.dumps({**FAILED, "failure": {**FAILURE, "message": "x" * 301}}).encode(),
        json.dumps({**CHECKED, "graph": {"nodes": [{"op": "add"}], "output": 0}}).encode(),
        json.dumps({**CHECKED, "graph": {"nodes": [[]], "output": 0}}).encode(),
        json.dumps({**CHECKED, "graph": {"nodes": {}, "output": 0}}).encode(),
        json.dumps({**CHECKED, "graph": {"nodes": [], "output": float("nan")}}).encode(),
        json.dumps({**TRAINED, "predictions": {"validation": 3, "test": ""}}).encode(),
        json.dumps({**TRAINED, "trainSeconds": float("inf")}).encode(),
        json.dumps({**TRAINED, "status": "chance"}).encode(),
    ],
)
def test_refuses_the_rest(line: bytes) -> None:
    with pytest.raises(Garbage):
        parse_message(line)


def ended_by(code: int | None, signum: int = 0) -> int:
    """A waitpid status."""
    return signum if code is None else code << 8


@pytest.mark.parametrize(
    ("status", "outcome", "message"),
    [
        (ended_by(3), "train", "The process ended with exit code 3 while training"),
        (ended_by(0), "train", "The process ended with exit code 0 while training"),
        (ended_by(None, signal.SIGSEGV), "train", "The process died of SIGSEGV while training"),
        (ended_by(None, 37), "train", "The process died of signal 37 while training"),
        (ended_by(None, signal.SIGKILL), "out-of-memory", "OutOfMemory: the process was killed"),
        (ended_by(None, signal.SIGXCPU), "timeout", "Timeout: the process used up its CPU time"),
    ],
)
def test_the_end_of_a_process_has_an_outcome(status: int, outcome: str, message: str) -> None:
    assert os.WIFEXITED(status) or os.WIFSIGNALED(status)
    failure = death(status, "train")
    assert failure.outcome == outcome
    assert failure.message.startswith(message)


def test_a_process_that_cannot_be_forked_is_the_fault_of_no_candidate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests, _ = os.pipe()
    heard, events = os.pipe()
    monkeypatch.setattr(worker, "REQUESTS", requests)
    monkeypatch.setattr(worker, "EVENTS", events)

    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    settings = Settings(torch.device("cpu"), [], 1, 1 << 30)
    data = cast("Prepared", None)  # what no process is made for needs none
    running = Worker(data, settings)
    running._announced = True
    running._queue.append({"type": "check", "id": 7})
    before = os.listdir("/dev/fd")
    for _ in range(SPARE_ATTEMPTS):
        running._spare_after = 0.0
        running._ensure_spare()
    assert os.listdir("/dev/fd") == before
    event = json.loads(os.read(heard, 1 << 16))
    assert event["status"] == "not-started"
    assert event["id"] == 7
    assert "Resource temporarily unavailable" in event["message"]
