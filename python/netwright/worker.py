"""`python -m netwright.worker SETTINGS`: runs candidates, each in a process of its own.

The worker imports PyTorch and maps the data once, then forks. One spare process waits ahead of each
request with its device ready. The worker itself never touches the device, starts no thread and runs
no candidate's code; what its children say is untrusted and validated here.

Requests come as JSON lines on descriptor 3, events leave as JSON lines on descriptor 4:

    {"type": "check" | "train", "id", "code", "protocol", "parameters", "seconds"}
    {"type": "cancel", "id"}

    {"type": "ready", "torch", "device", "deviceName", "sandbox"}
    {"type": "started", "id"}
    {"type": "progress", "id", "epoch", "batch", "batches", "secondsLeft"}
    {"type": "result", "id", "status": "checked" | "trained" | "failed", "seconds", ...}
    {"type": "result", "id", "status": "not-started", "seconds", "message"}
    {"type": "fatal", "message"}

Whatever happens once a candidate's process has its job is the candidate's: "failed". "not-started"
is the machine's doing: no process could be made ready for it.

The end of the requests ends the worker and all it has started.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, cast, get_args

import torch
import torch._dynamo  # optimisers import it on first use, which takes seconds

from netwright.candidate import STAGE_OUTCOMES, STAGE_WORDS, Failure, Outcome, Stage
from netwright.child import Settings, serve, usable_threads
from netwright.prepared import Prepared, open_prepared
from netwright.sandbox import die_with_parent, hide_memory, memory_of
from netwright.trace import MAX_NODES

REQUESTS, EVENTS = 3, 4
MAX_MESSAGE = 4 << 20
MAX_REPORTED = 64 << 20
POLL_SECONDS = 0.1
REAP_SECONDS = 0.01
PROGRESS_SECONDS = 0.25
LEAVING_SECONDS = 5.0
GRACE_SECONDS = 1.0
SPARE_SECONDS = 120.0
SPARE_ATTEMPTS = 3

ANSWERS = {"check": "checked", "train": "trained"}
OUTCOMES: frozenset[str] = frozenset(get_args(Outcome))


class Garbage(Exception):
    """A child said something that is not in the protocol."""


@dataclass
class Child:
    """A forked process: a spare until it has a job."""

    pid: int
    requests: int
    results: int
    deadline: float
    buffer: bytearray = field(default_factory=bytearray)
    reported: int = 0
    ready: bool = False
    job: dict[str, Any] | None = None
    started: float = 0.0
    progressed: float = 0.0
    resident: int = 0
    stage: Stage = "load"
    answered: bool = False
    # Set when this side ends it, or when the candidate ended its side of the channel.
    failure: Failure | None = None
    error: str | None = None
    closed: bool = False
    killed: bool = False


class Worker:
    """The event loop: one selector over the requests and the results of all children."""

    def __init__(self, data: Prepared, settings: Settings) -> None:
        self._data = data
        self._settings = settings
        self._children: dict[int, Child] = {}
        self._queue: deque[dict[str, Any]] = deque()
        self._selector = selectors.DefaultSelector()
        self._selector.register(REQUESTS, selectors.EVENT_READ, None)
        self._incoming = bytearray()
        self._announced = False
        self._spare_failures = 0
        self._spare_after = 0.0

    def run(self) -> None:
        """Until the requests end."""
        try:
            while True:
                self._ensure_spare()
                leaving = any(child.closed or child.killed for child in self._children.values())
                pause = REAP_SECONDS if leaving else POLL_SECONDS
                for key, _ in self._selector.select(pause):
                    if key.data is None:
                        if not self._receive():
                            return
                    else:
                        self._listen(key.data)
                self._watch()
                self._reap()
                self._dispatch()
        finally:
            for child in self._children.values():
                self._kill(child)
            for child in self._children.values():
                os.waitpid(child.pid, 0)

    # --- requests -----------------------------------------------------------------------------

    def _receive(self) -> bool:
        piece = os.read(REQUESTS, 1 << 16)
        if not piece:
            return False
        self._incoming += piece
        *lines, self._incoming = self._incoming.split(b"\n")
        for line in lines:
            request = json.loads(line)
            if request["type"] == "cancel":
                self._cancel(request["id"])
            else:
                self._queue.append(request)
        return True

    def _cancel(self, identity: int) -> None:
        self._queue = deque(job for job in self._queue if job["id"] != identity)
        for child in self._children.values():
            if child.job is not None and child.job["id"] == identity:
                child.answered = True
                self._kill(child)

    def _dispatch(self) -> None:
        if not self._queue:
            return
        spare = next((c for c in self._children.values() if c.ready and c.job is None), None)
        if spare is None or spare.closed or spare.killed:
            return
        job = self._queue.popleft()
        started = time.monotonic()  # before the process can be: its own times lie within
        try:
            write_all(spare.requests, json.dumps(job).encode())
        except BrokenPipeError:  # it died while it waited; the next one takes the job
            self._queue.appendleft(job)
            self._kill(spare)
            return
        os.close(spare.requests)
        spare.job = job
        spare.started = started
        spare.deadline = spare.started + job["seconds"] + GRACE_SECONDS
        spare.resident = _resident(spare.pid)
        send({"type": "started", "id": job["id"]})

    # --- children -----------------------------------------------------------------------------

    def _ensure_spare(self) -> None:
        if any(c.job is None and not c.killed for c in self._children.values()):
            return
        if time.monotonic() < self._spare_after:
            return
        worker = os.getpid()
        pipes: list[int] = []
        try:
            pipes += os.pipe()
            pipes += os.pipe()
            pid = os.fork()
        except OSError as error:  # the machine is short of memory, of processes or of descriptors
            for descriptor in pipes:
                os.close(descriptor)
            self._spare_failed(str(error))
            return
        request_read, request_write, result_read, result_write = pipes
        if pid == 0:
            serve(worker, request_read, result_write, self._data, self._settings)
        os.close(request_read)
        os.close(result_write)
        child = Child(pid, request_write, result_read, time.monotonic() + SPARE_SECONDS)
        self._children[pid] = child
        self._selector.register(result_read, selectors.EVENT_READ, child)

    def _listen(self, child: Child) -> None:
        piece = os.read(child.results, 1 << 16)
        if not piece:
            self._selector.unregister(child.results)
            os.close(child.results)
            child.closed = True
            child.deadline = time.monotonic() + LEAVING_SECONDS
            return
        if child.answered or child.killed:
            return
        child.reported += len(piece)
        child.buffer += piece
        try:
            *lines, child.buffer = child.buffer.split(b"\n")
            if len(child.buffer) > MAX_MESSAGE or child.reported > MAX_REPORTED:
                raise Garbage
            for line in lines:
                self._hear(child, bytes(line))
                if child.answered or child.killed:
                    return
        except Garbage:
            self._end(child, None, "wrote to the channel of its results")

    def _hear(self, child: Child, line: bytes) -> None:
        message = parse_message(line)
        kind = message["type"]
        if child.job is None:
            if kind == "ready" and not child.ready:
                child.ready = True
                child.deadline = float("inf")
                self._spare_failures = 0
                self._announce(message)
            elif kind == "result" and message["status"] == "error":
                child.error = message["message"]
            else:
                raise Garbage
        elif kind == "stage":
            child.stage = message["stage"]
        elif kind == "progress":
            now = time.monotonic()
            if now - child.progressed >= PROGRESS_SECONDS:
                child.progressed = now
                send({**message, "id": child.job["id"]})
        elif kind == "result":
            self._hear_result(child, child.job, message)
        else:
            raise Garbage

    def _hear_result(self, child: Child, job: dict[str, Any], result: dict[str, Any]) -> None:
        status = result["status"]
        if status == "error":
            self._end(child, None, f"broke off: {result['message']}")
        elif status in ("failed", ANSWERS[job["type"]]):
            self._answer(child, result)
            self._kill(child)
        else:
            raise Garbage

    def _announce(self, message: dict[str, Any]) -> None:
        if not self._announced:
            self._announced = True
            send(
                {
                    "type": "ready",
                    "torch": torch.__version__,
                    "device": str(self._settings.device),
                    "deviceName": message["deviceName"],
                    "sandbox": message["sandbox"],
                }
            )

    def _answer(self, child: Child, result: dict[str, Any]) -> None:
        assert child.job is not None
        child.answered = True
        seconds = time.monotonic() - child.started
        send({**result, "type": "result", "id": child.job["id"], "seconds": seconds})

    def _watch(self) -> None:
        """Ends what takes too long or too much."""
        now = time.monotonic()
        for child in self._children.values():
            if child.killed:
                continue
            if now > child.deadline:
                if child.closed:
                    self._end(child, None, "closed the channel of its results")
                elif child.job is None:
                    child.error = f"it was not ready after {SPARE_SECONDS:g} s"
                    self._kill(child)
                else:
                    limit = f"not finished after {child.job['seconds']:g} s"
                    self._end(child, "timeout", f"Timeout: {limit}")
            elif (
                child.job is not None
                and not child.closed
                # An eighth more than the process's own limit, which goes first where it counts: it
                # tells the line of the code.
                and _resident(child.pid) - child.resident > self._settings.memory * 9 // 8
            ):
                limit = f"more than {self._settings.memory >> 20:,} MiB"
                self._end(child, "out-of-memory", f"OutOfMemory: {limit}")

    def _end(self, child: Child, outcome: Outcome | None, what: str) -> None:
        """Kills a child; the reason is told when it is gone. No outcome: that of its stage."""
        where = STAGE_WORDS[child.stage]
        if outcome is None:
            what = f"The process {what}"
        message = f"{what[:200]}, {where}"
        child.failure = Failure(outcome or STAGE_OUTCOMES[child.stage], message)
        self._kill(child)

    def _kill(self, child: Child) -> None:
        child.killed = True
        for kill in (os.killpg, os.kill):  # not yet a group of its own: the process alone
            with suppress(ProcessLookupError, PermissionError):
                kill(child.pid, signal.SIGKILL)

    def _reap(self) -> None:
        for child in list(self._children.values()):
            if not (child.closed or child.killed):
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid == 0:
                continue
            del self._children[child.pid]
            if not child.closed:
                self._selector.unregister(child.results)
                os.close(child.results)
            if child.job is None:
                os.close(child.requests)
                self._spare_failed(child.error or death(status, child.stage).message)
            elif not child.answered:
                failure = child.failure or death(status, child.stage)
                result = {"status": "failed", "failure": failure.as_dict(), "parameters": None}
                self._answer(child, result)

    def _spare_failed(self, reason: str) -> None:
        message = f"A process for candidates could not be started: {reason}"
        self._spare_failures += 1
        if not self._announced:
            fatal(message)
        if self._spare_failures >= SPARE_ATTEMPTS:
            while self._queue:
                job = self._queue.popleft()
                send(
                    {
                        "type": "result",
                        "id": job["id"],
                        "status": "not-started",
                        "message": message,
                        "seconds": 0.0,
                    }
                )
        self._spare_after = time.monotonic() + 1.0


def death(status: int, stage: Stage) -> Failure:
    """What the end of a process without a result amounts to; `status` is that of waitpid."""
    where = STAGE_WORDS[stage]
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL:  # none of ours: the kernel's last means
        message = f"OutOfMemory: the process was killed {where}"
        return Failure("out-of-memory", message)
    if code == -signal.SIGXCPU:
        return Failure("timeout", f"Timeout: the process used up its CPU time {where}")
    if code < 0:
        known = -code in signal.Signals.__members__.values()  # those of real time have no name
        name = signal.Signals(-code).name if known else f"signal {-code}"
        return Failure(STAGE_OUTCOMES[stage], f"The process died of {name} {where}")
    return Failure(STAGE_OUTCOMES[stage], f"The process ended with exit code {code} {where}")


def _resident(pid: int) -> int:
    """Bytes; 0 where it cannot be told."""
    try:
        return memory_of(pid).resident
    except OSError:
        return 0


# --- what children say --------------------------------------------------------------------------


def parse_message(line: bytes) -> dict[str, Any]:
    """A child's message, with nothing in it but what the protocol has; raises `Garbage`."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Garbage from error
    kind = message.get("type") if isinstance(message, dict) else None
    if kind == "ready":
        layers = [_text(layer, 100) for layer in _list(message.get("sandbox"), 10)]
        name = _text(message.get("deviceName"), 200)
        return {"type": kind, "deviceName": name, "sandbox": layers}
    if kind == "stage":
        stage = message.get("stage")
        if not isinstance(stage, str) or stage not in STAGE_OUTCOMES:
            raise Garbage
        return {"type": kind, "stage": stage}
    if kind == "progress":
        counts = {name: _count(message.get(name)) for name in ("epoch", "batch", "batches")}
        left = message.get("secondsLeft")
        return {"type": kind, **counts, "secondsLeft": None if left is None else _number(left)}
    if kind == "result":
        return {"type": kind, **_result(cast("dict[str, object]", message))}
    raise Garbage


def _result(message: dict[str, object]) -> dict[str, Any]:
    status = message.get("status")
    if status == "error":
        return {"status": status, "message": _text(message.get("message"), 1000)}
    if status == "failed":
        failure = message.get("failure")
        if not isinstance(failure, dict):
            raise Garbage
        outcome = _text(failure.get("outcome"), 20)
        if outcome not in OUTCOMES:
            raise Garbage
        line, source = failure.get("line"), failure.get("source")
        parameters = message.get("parameters")
        return {
            "status": status,
            "failure": {
                "outcome": outcome,
                "message": _text(failure.get("message"), 300),
                "line": None if line is None else _count(line),
                "source": None if source is None else _text(source, 200),
            },
            "parameters": None if parameters is None else _count(parameters),
        }
    if status == "checked":
        parameters = _count(message.get("parameters"))
        return {"status": status, "parameters": parameters, "graph": _graph(message.get("graph"))}
    if status == "trained":
        predictions = message.get("predictions")
        if not isinstance(predictions, dict):
            raise Garbage
        validation = predictions.get("validation")
        return {
            "status": status,
            "predictions": {
                "validation": None if validation is None else _text(validation, MAX_MESSAGE),
                "test": _text(predictions.get("test"), MAX_MESSAGE),
            },
            "trainSeconds": _number(message.get("trainSeconds")),
            "evaluateSeconds": _number(message.get("evaluateSeconds")),
            "peakMemoryMiB": _count(message.get("peakMemoryMiB")),
        }
    raise Garbage


def _graph(graph: object) -> dict[str, Any]:
    if not isinstance(graph, dict):
        raise Garbage
    nodes = []
    for node in _list(graph.get("nodes"), MAX_NODES):
        if not isinstance(node, dict):
            raise Garbage
        nodes.append(
            {
                "op": _text(node.get("op"), 200),
                "attributes": _text(node.get("attributes"), 2000),
                "shape": [_count(size) for size in _list(node.get("shape"), 32)],
                "inputs": [_count(index) for index in _list(node.get("inputs"), MAX_NODES)],
            }
        )
    return {"nodes": nodes, "output": _count(graph.get("output"))}


def _text(value: object, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise Garbage
    return value


def _list(value: object, longest: int) -> list[object]:
    if not isinstance(value, list) or len(value) > longest:
        raise Garbage
    return value


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise Garbage
    return value


def _number(value: object) -> float:
    if type(value) not in (int, float) or not 0 <= cast("float", value) < 1e15:
        raise Garbage
    return cast("float", value)


def send(event: dict[str, Any]) -> None:
    write_all(EVENTS, (json.dumps(event) + "\n").encode())


def write_all(descriptor: int, data: bytes) -> None:
    pending = memoryview(data)
    while pending:
        pending = pending[os.write(descriptor, pending) :]


def fatal(message: str) -> NoReturn:
    send({"type": "fatal", "message": message})
    sys.exit(1)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C ends
    die_with_parent(os.getppid())
    hide_memory()
    given = json.loads(sys.argv[1])
    settings = Settings(
        device=torch.device(given["device"]),
        device_files=given["deviceFiles"],
        threads=given["threads"] or usable_threads(),
        memory=given["memoryMiB"] << 20,
    )
    torch.set_num_threads(1)  # no thread pool may exist when this process forks
    try:
        data = open_prepared(Path(given["data"]))
    except (OSError, ValueError, KeyError) as error:
        fatal(f"The prepared data cannot be read: {error}")
    gc.collect()
    gc.freeze()  # keeps the shared pages of what is imported shared
    with suppress(BrokenPipeError):  # the reader of the events may be gone
        Worker(data, settings).run()


if __name__ == "__main__":
    main()
