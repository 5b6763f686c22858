"""Reads a folder in LEMUR's layout with nn-dataset itself: `read_lemur.py EXPORT WORK`; JSON on the last line of stdout.

nn-dataset reads the nets and trials that lie in its own package folder, so it runs from a copy of that folder in WORK, with
the export laid over it: what a user does who adds an export to a clone of LEMUR. It files them in a database under WORK.
"""

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path


def main(export: Path, work: Path) -> None:
    found = importlib.util.find_spec("ab")
    assert found is not None and found.submodule_search_locations is not None
    installed = next(p for p in map(Path, found.submodule_search_locations) if (p / "nn").is_dir())
    shutil.copytree(installed, work / "ab")
    shutil.copytree(export / "ab", work / "ab", dirs_exist_ok=True)
    os.chdir(work)
    sys.path.insert(0, str(work))

    import torch
    from ab.nn.api import data
    from ab.nn.metric.acc import create_metric
    from ab.nn.util.Const import nn_dir

    assert Path(nn_dir) == work / "ab" / "nn" / "nn"
    metric = create_metric()
    metric(torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]), torch.tensor([1, 1, 1]))
    rows = data(task="img-classification").to_dict("records")
    print(json.dumps({"rows": rows, "metric": metric.result()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
