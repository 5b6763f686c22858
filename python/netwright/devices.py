"""`python -m netwright.devices` prints, as JSON, the PyTorch found and what it can run on."""

from __future__ import annotations

import json
import os
import sys


def usable_threads() -> int:
    """CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def main() -> None:
    import torch

    cuda = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, total = torch.cuda.mem_get_info(index)
        cuda.append(
            {
                "index": index,
                "name": torch.cuda.get_device_name(index),
                "totalMiB": total >> 20,
                "freeMiB": free >> 20,
            }
        )
    json.dump({"torch": torch.__version__, "cuda": cuda, "threads": usable_threads()}, sys.stdout)


if __name__ == "__main__":
    main()
