"""Which records are one firm: links and corrections taken together, strongest first.

What people say comes first. After that a link joins two groups unless somebody said that one record in each are different. A group
is named after the record that has been known longest, so that a record that comes later does not rename it; and nothing but what
is there now decides, so that a merge which is taken back leaves no trace.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pilothouse.kernel.errors import DataRejected

Pair = tuple[str, str]


@dataclass(frozen=True)
class Link:
    """Two records that are the same: as far as weights say, or because somebody said so (no weight)."""

    left: str
    right: str
    weight: float | None


@dataclass(frozen=True)
class Member:
    """A record in its group."""

    record: str
    group: str  # the record after which it is named
    path: tuple[Link, ...]  # what holds the record to that one, link by link

    @property
    def through(self) -> tuple[str, ...]:
        """The records on that path, itself first."""
        found = [self.record]
        for link in self.path:
            found.append(link.right if link.left == found[-1] else link.left)
        return tuple(found)


@dataclass
class _Groups:
    """Disjoint sets that know which others they must not be joined with."""

    above: dict[str, str]
    apart: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def of(self, record: str) -> str:
        while self.above[record] != record:
            self.above[record] = self.above[self.above[record]]
            record = self.above[record]
        return record

    def keep_apart(self, left: str, right: str) -> None:
        left, right = self.of(left), self.of(right)
        self.apart[left].add(right)
        self.apart[right].add(left)

    def join(self, left: str, right: str) -> bool:
        """Whether these groups, until now two, are one."""
        left, right = sorted((self.of(left), self.of(right)))
        if left == right or right in self.apart[left]:
            return False
        self.above[right] = left
        for other in self.apart.pop(right, ()):
            self.apart[other] = {left if each == right else each for each in self.apart[other]}
            self.apart[left].add(other)
        return True


def members(records: Mapping[str, object], links: Iterable[Link], same: Sequence[Pair], different: Sequence[Pair]) -> list[Member]:
    """Every record in its group. `records` tells how long each is known: what sorts first names a group."""
    groups = _Groups({record: record for record in records})
    refuse_contradictions(same, different)
    for left, right in different:
        if left in records and right in records:
            groups.keep_apart(left, right)
    said = (Link(left, right, None) for left, right in sorted(same) if left in records and right in records)
    # Of links with one weight the order is that of their names, so that the same links make the same groups.
    weighed = sorted(links, key=lambda link: (-(link.weight or 0.0), link.left, link.right))
    holding: dict[str, list[Link]] = defaultdict(list)
    for link in (*said, *weighed):
        if groups.join(link.left, link.right):
            holding[link.left].append(link)
            holding[link.right].append(link)
    together: dict[str, list[str]] = defaultdict(list)
    for record in records:
        together[groups.of(record)].append(record)
    return [member for group in together.values() for member in _walked(min(group, key=lambda each: (records[each], each)), holding)]


def _walked(first: str, holding: Mapping[str, list[Link]]) -> Iterable[Member]:
    """The group of a record, from it outwards."""
    found = {first: Member(first, first, ())}
    pending = deque([first])
    while pending:
        near = pending.popleft()
        for link in holding.get(near, ()):
            far = link.right if link.left == near else link.left
            if far not in found:
                found[far] = Member(far, first, (link, *found[near].path))
                pending.append(far)
    return found.values()


def refuse_contradictions(same: Iterable[Pair], different: Iterable[Pair]) -> None:
    """DataRejected where what was said to be the same makes one of what was said to be different."""
    above: dict[str, str] = {record: record for pair in same for record in pair}
    groups = _Groups(above)
    for left, right in same:
        groups.join(left, right)
    for left, right in different:
        if left in above and right in above and groups.of(left) == groups.of(right):
            raise DataRejected(
                f"{left} and {right} were said to be different, and the same by way of others",
                hint=f"say which holds: `pilothouse firm explain {left} {right}` shows what was said",
            )
