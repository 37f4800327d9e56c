"""Which steps wait for each other in a circle?"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

__all__ = ["find_cycles"]

_SHORTEST = 2


def find_cycles(order: Sequence[str], needs: Mapping[str, AbstractSet[str]]) -> list[tuple[str, ...]]:
    """Give one cycle, a shortest one, for every group of steps that wait for each other.

    Args:
        order: All names, in document order.
        needs: What each name waits for; that a name needs itself is left to the caller.

    Returns:
        Cycles without the repeated end (``("A", "B")`` for A → B → A, each needing the next), each beginning with
        its first name in the document, in document order.

    """
    import networkx as nx  # noqa: PLC0415 - a definition without cycles never needs it

    position = {name: index for index, name in enumerate(order)}
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(order)
    graph.add_edges_from((name, need) for name in order for need in needs[name])
    groups = [group for group in nx.strongly_connected_components(graph) if len(group) > 1]
    found = [_shortest(sorted(group, key=position.__getitem__), needs, position) for group in groups]
    return sorted(found, key=lambda cycle: position[cycle[0]])


def _shortest(
    group: Sequence[str], needs: Mapping[str, AbstractSet[str]], position: Mapping[str, int]
) -> tuple[str, ...]:
    """Find a shortest cycle of a strongly connected group; of several the one that is found first in the document."""
    members = set(group)
    left = _Rest({name: sorted((needs[name] & members) - {name}, key=position.__getitem__) for name in group})
    best: tuple[str, ...] = ()
    for name in group:
        if name not in left.needs:
            continue
        best = left.cycle_through(name, shorter_than=len(best)) or best
        if len(best) == _SHORTEST:
            break
        # All cycles through this name are known now. Without it, most names of a ring are on no cycle any more.
        left.drop(name)
    # It begins with its first name in the document, because all names before that one were taken out.
    return best


class _Rest:
    """What is left of a group while names are taken out of it."""

    def __init__(self, needs: dict[str, list[str]]) -> None:
        self.needs = {name: dict.fromkeys(needed) for name, needed in needs.items()}
        self._needed_by: dict[str, dict[str, None]] = {name: {} for name in needs}
        for name, needed in needs.items():
            for need in needed:
                self._needed_by[need][name] = None

    def drop(self, name: str) -> None:
        """Take a name out, and then whatever needs nothing or is needed by nothing that is left."""
        waiting = [name]
        while waiting:
            gone = waiting.pop()
            if gone not in self.needs:
                continue
            for need in self.needs.pop(gone):
                del self._needed_by[need][gone]
                if not self._needed_by[need]:
                    waiting.append(need)
            for dependent in self._needed_by.pop(gone):
                del self.needs[dependent][gone]
                if not self.needs[dependent]:
                    waiting.append(dependent)

    def cycle_through(self, start: str, *, shorter_than: int) -> tuple[str, ...]:
        """Search breadth first for the shortest cycle through a name (``shorter_than`` 0: of any length)."""
        came_from: dict[str, str] = {}
        waiting = deque([(start, 1)])
        while waiting:
            name, length = waiting.popleft()
            if shorter_than and length >= shorter_than:
                return ()
            for need in self.needs[name]:
                if need == start:
                    cycle = [name]
                    while cycle[-1] != start:
                        cycle.append(came_from[cycle[-1]])
                    return tuple(reversed(cycle))
                if need not in came_from:
                    came_from[need] = name
                    waiting.append((need, length + 1))
        return ()
