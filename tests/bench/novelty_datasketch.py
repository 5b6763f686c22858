"""The counterpart of novelty.ts: the same sets in datasketch's MinHashLSH.

Usage: novelty_datasketch.py SETS THRESHOLD. Prints JSON: the time to place each query in ms (its MinHash,
the query and the insertion; its elements are hashes already and are not hashed again), the processor's
time for all of them, and what was found.
"""

import json
import sys
import time
from collections.abc import Iterator

import datasketch
import numpy as np
from numpy.typing import NDArray


def read_sets(words: NDArray[np.uint32]) -> Iterator[NDArray[np.uint32]]:
    at = 2
    while at < len(words):
        size = int(words[at])
        yield words[at + 1 : at + 1 + size]
        at += 1 + size


def identity(value: int) -> int:
    return value


def main(path: str, threshold: float) -> None:
    words = np.fromfile(path, dtype="<u4")
    archive_size = int(words[0])
    lsh = datasketch.MinHashLSH(threshold=threshold, num_perm=256)
    empty = datasketch.MinHash(num_perm=256, hashfunc=identity)
    place: list[float] = []
    found: list[list[int]] = []
    started = time.perf_counter()
    build = 0.0
    cpu = 0.0
    for key, values in enumerate(read_sets(words)):
        start = time.perf_counter()
        start_cpu = time.process_time()
        minhash = empty.copy()
        minhash.update_batch(values.tolist())
        if key >= archive_size:
            found.append([k for k in lsh.query(minhash) if k < archive_size])
        lsh.insert(key, minhash)
        if key >= archive_size:
            place.append(1000 * (time.perf_counter() - start))
            cpu += 1000 * (time.process_time() - start_cpu)
        else:
            build = time.perf_counter() - started
    answer = {
        "version": datasketch.__version__,
        "build": build,
        "place": place,
        "cpu": cpu,
        "found": found,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
