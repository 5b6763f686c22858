"""The LoRA run, on a tiny model that learns to give one answer."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import torch
from gguf import GGUFReader
from tiny_models import save_folder

from netwright.tuning import memory
from netwright.tuning.__main__ import failure
from netwright.tuning.base_model import Load, TuningError, estimate_memory, read_base
from netwright.tuning.examples import Example, steps_of
from netwright.tuning.loss import answer_loss
from netwright.tuning.memory import load_of
from netwright.tuning.run import Run, Settings, read_run
from netwright.tuning.tuner import Tuner, schedule

SETTINGS: dict[str, Any] = {
    "rank": 4,
    "alpha": 8,
    "dropout": 0.1,
    "learningRate": 0.01,
    "epochs": 4,
    "accumulation": 2,
    "gradient": "answer",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    save_folder(folder)
    return folder


def example(question: str, answer: str, held_out: bool = False) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": question}],
        "prefill": "```",
        "answer": answer,
        "heldOut": held_out,
    }


CORPUS = [
    example(f"question {i}" + " very" * i, "the same answer\n```", i % 4 == 3) for i in range(8)
]


def make_run(folder: Path, model: Path, corpus: list[dict[str, Any]], **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    given = {
        "base": str(model),
        "settings": {**SETTINGS, **changes.pop("settings", {})},
        "device": "cpu",
        "threads": 1,
        "maxTokens": 256,
        "seed": 1,
        **changes,
    }
    (folder / "run.json").write_text(json.dumps(given))
    (folder / "corpus.jsonl").write_text("".join(json.dumps(e) + "\n" for e in corpus))
    return folder


def start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """The run as its parent starts it: events go to a file in the folder."""
    command = f'exec "$0" -m netwright.tuning {" ".join(options)} "$1" 3>"$1/events" 2>"$1/log"'
    return subprocess.Popen(
        ["bash", "-c", command, sys.executable, str(folder)], stdin=subprocess.PIPE
    )


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events").read_text().splitlines()]


def finish(folder: Path, *options: str) -> dict[str, Any]:
    with start(folder, *options) as process:
        # Its input stays open meanwhile.
        process.wait(timeout=300)
    told = events(folder)
    assert told, (folder / "log").read_text()
    return told[-1]


def test_it_learns_its_corpus_and_writes_the_adapter(tmp_path: Path, base: Path) -> None:
    folder = make_run(tmp_path, base, CORPUS, settings={"epochs": 6})
    done = finish(folder)
    assert done["type"] == "done"
    run = done["run"]
    assert run["examples"] == {"training": 6, "heldOut": 2}
    assert run["steps"] == 18
    assert run["losses"][-1]["training"] < run["losses"][0]["training"] / 2
    held_out = [point["heldOut"] for point in run["losses"] if point["heldOut"] is not None]
    assert len(held_out) == 6
    assert held_out[-1] < held_out[0]
    reader = GGUFReader(folder / "adapter.gguf")
    # Two layers of seven projections, two factors each.
    assert len(reader.tensors) == 28
    lora_b = next(t for t in reader.tensors if t.name == "blk.0.attn_q.weight.lora_b")
    assert abs(lora_b.data).max() > 0
    assert run["adapterBytes"] == (folder / "adapter.gguf").stat().st_size


def test_a_killed_run_goes_on_to_the_same_adapter(tmp_path: Path, base: Path) -> None:
    whole = make_run(tmp_path / "whole", base, CORPUS)
    assert finish(whole)["type"] == "done"
    parted = make_run(tmp_path / "parted", base, CORPUS)
    process = start(parted)
    checkpoint = parted / "checkpoint.pt"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = torch.load(checkpoint, weights_only=True)["progress"]["step"]
    assert before > 0
    done = finish(parted)
    first = next(e for e in events(parted) if e["type"] == "progress" and e["stage"] == "training")
    assert first["step"] == before
    assert len(done["run"]["losses"]) == done["run"]["steps"] == 12
    assert (parted / "adapter.gguf").read_bytes() == (whole / "adapter.gguf").read_bytes()


CAN_MOUNT = (
    shutil.which("unshare") is not None
    and subprocess.run(
        ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/tmp"], capture_output=True
    ).returncode
    == 0
)


@pytest.mark.skipif(not CAN_MOUNT, reason="needs Linux with user namespaces (unshare -Urm)")
def test_on_a_full_disk_it_says_so_and_goes_on_when_there_is_room(
    tmp_path: Path, base: Path
) -> None:
    """A real full disk: first the checkpoint does not fit, then the adapter."""
    given = make_run(tmp_path / "given", base, CORPUS)
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    script = """
        tune() {
            "$python" -m netwright.tuning "$disk" 3>"$kept/$1" 2>"$kept/log" || true
            ls "$disk" >"$kept/$1.files"
        }
        mount -t tmpfs -o size=32k tmpfs "$disk"
        cp "$given"/* "$disk"
        tune checkpoint
        mount -o remount,size=64m "$disk"
        tune whole
        mv "$disk/adapter.gguf" "$kept/whole.gguf"
        head -c 64m /dev/zero >"$disk/filler" 2>/dev/null || true
        tune adapter
        rm "$disk/filler"
        tune mended
        mv "$disk/adapter.gguf" "$kept/mended.gguf"
    """
    names = {"python": sys.executable, "given": given, "disk": disk, "kept": kept}
    environment = {**os.environ, **{name: str(value) for name, value in names.items()}}
    command = ["unshare", "-Urm", "bash", "-ec", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
        # Its input stays open meanwhile.
        assert process.wait(timeout=300) == 0, (kept / "log").read_text()

    def told(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (kept / name).read_text().splitlines()]

    for name, there in [
        ("checkpoint", ["corpus.jsonl", "run.json"]),
        ("adapter", ["checkpoint.pt", "corpus.jsonl", "filler", "run.json"]),
    ]:
        last = told(name)[-1]
        assert (last["type"], last["code"]) == ("failed", "disk-full")
        assert "Free some space; the run then goes on" in last["message"]
        # Nothing half-written stays.
        assert (kept / f"{name}.files").read_text().split() == there
    stages = [e["stage"] for e in told("mended") if e["type"] == "progress"]
    # What was trained is not trained again.
    assert stages == ["loading", "training", "converting"]
    assert told("mended")[-1]["run"] == {**told("whole")[-1]["run"], "peakMemoryMiB": ANY}
    assert (kept / "mended.gguf").read_bytes() == (kept / "whole.gguf").read_bytes()


def test_a_damaged_checkpoint_is_begun_anew(tmp_path: Path, base: Path) -> None:
    folder = make_run(tmp_path, base, CORPUS)
    (folder / "checkpoint.pt").write_bytes(b"PK damaged")
    assert finish(folder)["run"]["steps"] == 12


def test_the_end_of_its_input_ends_it(tmp_path: Path, base: Path) -> None:
    process = start(make_run(tmp_path, base, CORPUS, settings={"epochs": 1000}))
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=60) == 1
    assert not (tmp_path / "adapter.gguf").exists()


def test_a_held_out_loss_that_rises_ends_it_with_the_best_weights(
    tmp_path: Path, base: Path
) -> None:
    corpus = [example(f"q{i}", f"{'xy'[i == 0]}" * 9, i == 0) for i in range(6)]
    folder = make_run(tmp_path, base, corpus, settings={"epochs": 50, "learningRate": 0.05})
    run = finish(folder)["run"]
    held_out = [point["heldOut"] for point in run["losses"] if point["heldOut"] is not None]
    assert len(held_out) < 50
    assert held_out[-1] >= min(held_out)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"maxTokens": 8}, "no-examples"),
        ({"base": "/nowhere"}, "tuner-base"),
    ],
)
def test_what_cannot_begin_says_why(
    tmp_path: Path, base: Path, changes: dict[str, Any], code: str
) -> None:
    failed = finish(make_run(tmp_path, base, CORPUS, **changes))
    assert (failed["type"], failed["code"]) == ("failed", code)


def test_an_architecture_that_is_not_covered_is_refused_by_name(tmp_path: Path, base: Path) -> None:
    config = json.loads((base / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "mamba"}))
    (tmp_path / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes())
    with pytest.raises(TuningError, match="architecture mamba") as raised:
        read_base(tmp_path)
    assert raised.value.code == "tuner-architecture"


def test_the_plan_tells_sizes_without_loading_weights(tmp_path: Path, base: Path) -> None:
    plan = finish(make_run(tmp_path, base, [*CORPUS, example("long " * 500, "x")]), "--plan")
    assert plan["type"] == "plan"
    assert plan["architecture"] == "qwen2"
    assert plan["tooLong"] == 1
    assert 0 < plan["leastMemoryMiB"] <= plan["memoryMiB"] < plan["freeMemoryMiB"]


def loaded(tmp_path: Path, base: Path, **settings: Any) -> Tuner:
    folder = make_run(tmp_path, base, CORPUS, settings={"dropout": 0, **settings})
    return Tuner(*reversed_arguments(folder))


def reversed_arguments(folder: Path) -> tuple[Run, Path, list[dict[str, Any]]]:
    run, corpus = read_run(folder)
    return run, folder, corpus


def test_loss_does_not_depend_on_batches_or_on_what_is_differentiated(
    tmp_path: Path, base: Path
) -> None:
    tuner = loaded(tmp_path, base)
    examples = tuner._training
    alone = sum(float(answer_loss(tuner._model, [e], "all")) for e in examples)
    together = float(answer_loss(tuner._model, examples, "all"))
    answers = float(answer_loss(tuner._model, examples, "answer"))
    assert together == pytest.approx(alone, rel=1e-4)
    assert answers == pytest.approx(alone, rel=1e-4)


def test_gradients_of_question_and_answer_reach_every_projection(
    tmp_path: Path, base: Path
) -> None:
    for gradient in ("all", "answer"):
        tuner = loaded(tmp_path / gradient, base, gradient=gradient)
        loss = answer_loss(tuner._model, tuner._training[:2], gradient)
        loss.backward()  # type: ignore[no-untyped-call]
        reached = [n for n, w in tuner._weights.items() if w.grad is not None and w.grad.any()]
        # lora_A has no gradient while lora_B is zero.
        assert len(reached) == len(tuner._weights) / 2


def test_too_little_memory_is_an_error_with_a_remedy(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda _: 1000)
    with pytest.raises(TuningError, match="Close other programs") as raised:
        loaded(tmp_path, base)
    assert raised.value.code == "tuner-memory"


def test_activations_are_computed_again_where_they_do_not_fit(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plenty = loaded(tmp_path / "plenty", base, gradient="all")
    lengths = [(len(e.question), len(e.answer)) for e in plenty._training + plenty._held_out]
    load = load_of(plenty._run.settings, lengths)
    estimate = estimate_memory(plenty._run.base, load, 4, on_gpu=False)
    tight = (estimate.needed(True) + estimate.needed(False)) // 2
    if estimate.needed(True) == estimate.needed(False):
        tight = estimate.needed(False)
    monkeypatch.setattr(memory, "free_memory", lambda _: tight)
    short = loaded(tmp_path / "short", base, gradient="all")
    a = float(answer_loss(short._model, short._training, "all"))
    b = float(answer_loss(plenty._model, plenty._training, "all"))
    assert a == pytest.approx(b, rel=1e-4)


def test_every_example_comes_once_an_epoch_with_others_of_its_length() -> None:
    examples = [Example([0] * (i % 7), [1] * (i % 5 + 1)) for i in range(70)]
    settings = Settings(**{**SETTINGS, "accumulation": 4})
    steps = steps_of(0, examples, settings, seed=3)
    assert sorted(i for step in steps for i in step) == list(range(70))
    assert steps != steps_of(1, examples, settings, seed=3)
    assert steps == steps_of(0, examples, settings, seed=3)
    spread = [
        max(examples[i].length for i in s) - min(examples[i].length for i in s) for s in steps
    ]
    assert sum(spread) / len(spread) < 3


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [schedule(step, 40) for step in range(40)]
    assert max(rates) == pytest.approx(1)
    assert rates[0] == pytest.approx(0.25)
    assert rates[-1] < 0.05


def test_failures_are_told_in_words_with_the_next_step(tmp_path: Path) -> None:
    code, message = failure(OSError(errno.ENOSPC, "No space left on device"), tmp_path)
    assert code == "disk-full"
    assert "Free some space" in message
    assert failure(MemoryError(), tmp_path)[0] == "tuner-memory"
    assert (
        failure(RuntimeError("DefaultCPUAllocator: can't allocate memory"), tmp_path)[0]
        == "tuner-memory"
    )
    assert failure(PermissionError(13, "Permission denied"), tmp_path)[0] == "tuner-files"
    assert failure(ZeroDivisionError(), tmp_path)[0] == "tuner-failed"


def test_four_bit_weights_answer_almost_as_whole_ones(tmp_path: Path, base: Path) -> None:
    pytest.importorskip("bitsandbytes")
    from netwright.tuning.base_model import load_model

    whole = load_model(read_base(base), torch.float32, torch.device("cpu"), four_bit=False)
    packed = load_model(read_base(base), torch.float32, torch.device("cpu"), four_bit=True)
    tokens = torch.arange(40)[None]
    with torch.no_grad():
        a, b = whole(tokens).logits.flatten(), packed(tokens).logits.flatten()
    assert torch.corrcoef(torch.stack([a, b]))[0, 1] > 0.7
    kinds = {type(m).__name__ for m in packed.get_decoder().layers.modules()}
    assert "Linear4bit" in kinds
    assert "Linear" not in kinds


def test_a_load_that_grows_takes_more_memory(base: Path) -> None:
    small = estimate_memory(read_base(base), Load(8, 100, 50), 2, on_gpu=False)
    large = estimate_memory(read_base(base), Load(8, 1000, 500), 2, on_gpu=False)
    assert large.needed(False) >= small.needed(False)
    assert large.activations > 9 * small.activations
    assert small.checkpointed < small.activations
