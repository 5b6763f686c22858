"""One net in a bare PyTorch loop over tensors in memory: the measure of the trainer's time.

usage: python bare_loop.py DATA FILE.py TRAIN_IMAGES BATCH THREADS

DATA is a prepared data set. Prints {"seconds"}: building the net, one epoch, and the predictions
for the validation and test images. Loading PyTorch and the data is not counted.
"""

from __future__ import annotations

import json
import runpy
import sys
import time
from pathlib import Path

import torch
import torch._dynamo  # the first optimiser would load it on the clock
from torch import nn

from netwright.prepared import open_prepared
from netwright.train import Normaliser


def main() -> None:
    folder, file, train_images, batch, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    data = open_prepared(Path(folder) / "public")
    normalise = Normaliser(data)
    images, labels = normalise(data.train_images[: int(train_images)]), data.train_labels
    splits = [normalise(s) for s in (data.validation_images, data.test_images) if s is not None]
    prm = {"lr": 0.01, "momentum": 0.9, "dropout": 0.2, "batch": int(batch)}
    module = runpy.run_path(file)

    begun = time.perf_counter()
    torch.manual_seed(1)
    shape = (prm["batch"], *data.image_shape)
    net = module["Net"](shape, (data.classes,), prm, torch.device("cpu"))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    net.train()
    for chosen in torch.split(torch.randperm(len(images)), int(batch)):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images[chosen]), labels[chosen])
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 3)
        optimizer.step()
    net.eval()
    with torch.no_grad():
        for split in splits:
            torch.cat([net(chunk).argmax(1) for chunk in torch.split(split, 512)])
    json.dump({"seconds": time.perf_counter() - begun}, sys.stdout)


if __name__ == "__main__":
    main()
