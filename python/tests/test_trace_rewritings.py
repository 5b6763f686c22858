"""Metamorphic tests of the trace: what must keep the operator graph, and what must not."""

from __future__ import annotations

import hashlib
from functools import cache

import pytest
from families import SOURCES, source
from rewritings import DIFFERENT, IN_SHAPE, SAME, apply, build, pairs, shuffled

from netwright.graph import COMMUTATIVE, OperatorGraph
from netwright.trace import trace_graph


def fingerprint(graph: OperatorGraph) -> str:
    """Equal for graphs that differ in numbering alone (Weisfeiler-Lehman, looking both ways, so
    that sharing counts)."""
    nodes = graph["nodes"]
    users: list[list[tuple[int, int]]] = [[] for _ in nodes]
    for number, node in enumerate(nodes):
        for position, source_node in enumerate(node["inputs"]):
            commutes = node["op"] in COMMUTATIVE
            users[source_node].append((number, -1 if commutes else position))
    labels = [_digest(node["op"], node["attributes"], node["shape"]) for node in nodes]
    labels[graph["output"]] = _digest("output", labels[graph["output"]])
    classes = 0
    while len(set(labels)) > classes:
        classes = len(set(labels))
        following = []
        for number, node in enumerate(nodes):
            inputs = [labels[i] for i in node["inputs"]]
            if node["op"] in COMMUTATIVE:
                inputs.sort()
            uses = sorted((labels[user], position) for user, position in users[number])
            following.append(_digest(labels[number], inputs, uses))
        labels = following
    return _digest(sorted(labels))


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@cache
def original(name: str) -> str:
    return fingerprint(trace_graph(build(source(name)), IN_SHAPE))


def test_the_families_are_many_and_different() -> None:
    assert len(SOURCES) >= 20
    assert len({original(name) for name in SOURCES}) == len(SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_the_graph_does_not_depend_on_the_device(name: str) -> None:
    real = trace_graph(build(source(name)), IN_SHAPE)
    assert trace_graph(build(source(name)).to("meta"), IN_SHAPE) == real


@pytest.mark.parametrize("name", SOURCES)
def test_the_fingerprint_ignores_numbering(name: str) -> None:
    graph = trace_graph(build(source(name)), IN_SHAPE)
    assert fingerprint(shuffled(graph, 1)) == original(name)


@pytest.mark.parametrize("change", SAME)
def test_rewriting_keeps_the_graph(change: str) -> None:
    nets = {name: net for name in SOURCES if (net := apply(name, change)) is not None}
    assert nets, "it applies to no net"
    for name, net in nets.items():
        assert fingerprint(trace_graph(net, IN_SHAPE)) == original(name), name


@pytest.mark.parametrize("change", DIFFERENT)
def test_change_changes_the_graph(change: str) -> None:
    nets = {name: net for name in SOURCES if (net := apply(name, change)) is not None}
    assert len(nets) >= 5
    for name, net in nets.items():
        assert fingerprint(trace_graph(net, IN_SHAPE)) != original(name), name


def test_every_net_is_rewritten_and_changed_in_many_ways() -> None:
    for table in (SAME, DIFFERENT):
        assert len(table) >= 10
        counts = dict.fromkeys(SOURCES, 0)
        for name, change in pairs(table):
            counts[name] += apply(name, change) is not None
        assert min(counts.values()) >= 10, counts
