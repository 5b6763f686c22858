"""What the tests compare with: Python's own tokenizer, and datasketch.

Reads one JSON request from standard input and prints one JSON answer:
{"tokens": [source, ...]} -> a list of normalised tokens for each source;
{"minhash": [[a, b], ...]} -> datasketch's estimate of the Jaccard similarity for each pair of sets;
{"jaccard": [[a, b], ...]} -> the exact one over shingles of the two sources' tokens, kept as text.
"""

import io
import json
import keyword
import sys
import tokenize
from typing import Any

STRING_PARTS = {"FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END"}


def lines_of(source: str) -> list[list[str]]:
    """Logical lines of classified tokens, INDENT and DEDENT in front of the line they precede."""
    lines: list[list[str]] = [[]]
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind in STRING_PARTS:  # since 3.12 an f-string is many tokens
            depth += {"FSTRING_START": 1, "FSTRING_END": -1}.get(kind, 0)
            kind = "STRING" if kind == "FSTRING_END" else "inside"
        if depth > 0 or kind in ("COMMENT", "NL", "ENCODING", "ENDMARKER", "inside"):
            continue
        if kind == "NEWLINE":
            lines.append([])
        elif kind == "NAME":
            lines[-1].append(token.string if keyword.iskeyword(token.string) else "NAME")
        elif kind == "OP":
            lines[-1].append(token.string)
        else:
            lines[-1].append(kind)
    return lines


def normalised(source: str) -> list[str]:
    result: list[str] = []
    for line in lines_of(source):
        while line and line[0] in ("INDENT", "DEDENT"):
            result.append(line.pop(0))
        if not line or set(line) == {"STRING"}:
            continue
        for token in [*line, "NEWLINE"]:
            if token in (")", "]", "}") and result[-1] == ",":
                result.pop()
            if token != "STRING" or result[-1] != "STRING":
                result.append(token)
    return result


def shingles(source: str) -> set[str]:
    tokens = normalised(source)
    return {" ".join(tokens[i : i + 10]) for i in range(max(1, len(tokens) - 9))}


def estimate(a: list[int], b: list[int]) -> float:
    from datasketch import MinHash

    left, right = MinHash(num_perm=256), MinHash(num_perm=256)
    left.update_batch([str(x).encode() for x in a])
    right.update_batch([str(x).encode() for x in b])
    return float(left.jaccard(right))


def answer(request: dict[str, Any]) -> list[Any]:
    if "tokens" in request:
        return [normalised(source) for source in request["tokens"]]
    if "minhash" in request:
        return [estimate(a, b) for a, b in request["minhash"]]
    sets = [(shingles(a), shingles(b)) for a, b in request["jaccard"]]
    return [len(a & b) / len(a | b) for a, b in sets]


if __name__ == "__main__":
    print(json.dumps(answer(json.load(sys.stdin))))
