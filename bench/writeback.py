"""`kill -9` of the executor at random moments: what people approved is written once, taken back as it was, and overwrites nobody.

A trial proposes and approves a delivery block of an order in SAP, or a task in Salesforce, lets a process execute it (or, executed,
undo it) and kills that process at a random moment. Then the work is done once more. The judge is the enterprise's own journal of
changes. In some trials somebody else changes the order after the kill: then nothing may be overwritten, and the conflict must be told.
In others somebody changes it before an undo, which is killed: then one task makes up for it, whose writing is killed, too.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa

from assets.platform import Platform
from bench.enterprise import Enterprise, Life, enterprise
from bench.figure import Figure, figure
from bench.writer import OWNER
from connectors.target import Action
from pilothouse.agents.capsules import Draft
from pilothouse.agents.capsules.capsule import canonical
from pilothouse.agents.toolset.receivables import ACCOUNTS
from pilothouse.approvals.principals import Principal
from pilothouse.approvals.proposals import Proposal
from pilothouse.kernel.errors import CommitConflict, Conflict

Kind = Literal["write", "undo", "conflict", "task", "refused undo"]
KINDS: Final[tuple[Kind, ...]] = ("write", "undo", "write", "undo", "conflict", "task", "refused undo")
TRIALS = 1_000
UNDOES: Final = ("undo", "refused undo")
PATIENCE = 60.0
OURS, THEIRS = "Z1", "Z9"
FIRM: Final = "s4:1"  # that decisions are about
ADA = Principal("ada", "credit_manager")


@dataclass(frozen=True)
class Trial:
    """What one trial did, and what was wrong afterwards."""

    kind: Kind
    moment: float
    hit: bool  # whether the work was still under way
    found: bool  # whether the next run found the write done
    faults: tuple[str, ...]


def figures(trials: int = TRIALS, seed: int = 1) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-writeback-") as folder, enterprise(Path(folder), scale=0.05) as company:
        began = time.monotonic()
        done = list(trial_by_trial(company, trials, seed))
        seconds = time.monotonic() - began
    for wrong in (each for each in done if each.faults):
        print(wrong)

    def wrong_of(*kinds: Kind) -> int:
        return sum(bool(each.faults) for each in done if each.kind in kinds)

    def count(kind: Kind) -> int:
        return sum(each.kind == kind for each in done)

    return [
        figure("kill -9 of the executor, trials", len(done), "trials", bar=trials),
        figure("of these, in the middle of the work", sum(each.hit for each in done), "trials"),
        figure("of these, after the write and before its receipt was kept", sum(each.found for each in done), "trials"),
        figure(f"approved writes that were not done exactly once, of {count('write')}", wrong_of("write"), "trials", better="lower", bar=0),
        figure(f"approved tasks that were not made exactly once, of {count('task')}", wrong_of("task"), "trials", better="lower", bar=0),
        figure(f"undos that did not restore what was before, of {count('undo')}", wrong_of("undo"), "trials", better="lower", bar=0),
        figure(
            f"conflicts that were not found, or overwrote somebody, of {count('conflict')}",
            wrong_of("conflict"),
            "trials",
            better="lower",
            bar=0,
        ),
        figure(
            f"refused undos that not one task made up for, of {count('refused undo')}",
            wrong_of("refused undo"),
            "trials",
            better="lower",
            bar=0,
        ),
        figure("median moment of the kill", 1000 * statistics.median(each.moment for each in done), "ms"),
        figure("a trial", seconds / len(done), "s", better="lower"),
    ]


def trial_by_trial(company: Enterprise, trials: int, seed: int) -> Iterator[Trial]:
    """Trials, one after the other, each with an order of its own."""
    chance = random.Random(seed)
    life = company.new_life("writeback")
    journal = Journal(company.folder / "sandbox" / "company" / "company.sqlite")
    orders = journal.unblocked()
    with life.platform() as platform, _writer(life) as writer:
        account = {
            "firm_id": FIRM,
            "source": "crm",
            "record_id": journal.account(),
            "name": "A firm",
            "known_since": "",
            "_synthetic": True,
        }
        platform.lake.table(ACCOUNTS).replace(pa.Table.from_pylist([account]).to_reader())
        for turn, order in zip(range(trials), orders, strict=False):
            yield _Case(platform, writer, journal, order, KINDS[turn % len(KINDS)], chance).judged()


@dataclass(frozen=True)
class Journal:
    """What the enterprise itself remembers."""

    path: Path

    def unblocked(self) -> list[str]:
        """The orders without a delivery block."""
        return [str(order) for (order,) in self._rows("SELECT SalesOrder FROM sap_SalesOrder WHERE DeliveryBlockReason = '' ORDER BY 1")]

    def block(self, order: str) -> str:
        """An order's delivery block."""
        return str(self._rows("SELECT DeliveryBlockReason FROM sap_SalesOrder WHERE SalesOrder = ?", order)[0][0])

    def changes(self, order: str) -> int:
        """How often an order was changed."""
        found = self._rows("SELECT COUNT(*) FROM changes WHERE entity = 'sap_SalesOrder' AND key = ?", f'["{order}"]')
        return int(found[0][0])

    def account(self) -> str:
        """Some account."""
        return str(self._rows('SELECT "Id" FROM "salesforce_Account" WHERE "IsDeleted" = 0 ORDER BY 1 LIMIT 1')[0][0])

    def tasks(self, key: str) -> list[bool]:
        """The tasks that an action made: of each whether it was taken away again."""
        rows = self._rows('SELECT "IsDeleted" FROM "salesforce_Task" WHERE "Pilothouse_Key__c" = ?', key)
        return [bool(int(gone)) for (gone,) in rows]

    def _rows(self, query: str, *values: str) -> list[tuple[str, ...]]:
        with closing(sqlite3.connect(self.path, timeout=PATIENCE)) as connection:
            return connection.execute(query, values).fetchall()


@dataclass
class Writer:
    """The process that is killed. `usual` is how long each work takes where nobody kills it."""

    process: subprocess.Popen[str]
    usual: dict[str, float] = field(default_factory=dict)

    def killed(self, kind: Kind | Literal["offer"], named: str, chance: random.Random) -> tuple[float, bool]:
        """Let it work and kill it; when, and whether it was still at it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{'undo' if kind in UNDOES else 'execute'} {named}\n")
        self.process.stdin.flush()
        child, began = int(self.process.stdout.readline()), time.monotonic()
        moment = chance.uniform(0, 1.1 * self.usual[kind]) if kind in self.usual else PATIENCE  # the first of a kind is let live
        while (passed := time.monotonic() - began) < moment and Path(f"/proc/{child}/exe").exists():
            time.sleep(0.0005)
        hit = passed >= moment
        if hit:
            os.kill(child, signal.SIGKILL)
        else:
            self.usual[kind] = passed
        if self.process.stdout.readline() != "over\n":
            raise RuntimeError("the writer has died")
        return passed, hit


@contextmanager
def _writer(life: Life) -> Iterator[Writer]:
    command = [sys.executable, "-m", "bench.writer"]
    environment = {**os.environ, "PILOTHOUSE_CONFIG": str(life.project)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Writer(process)
        finally:
            process.kill()


class _Case:
    """One trial."""

    def __init__(self, platform: Platform, writer: Writer, journal: Journal, order: str, kind: Kind, chance: random.Random) -> None:
        self._platform, self._writer, self._journal = platform, writer, journal
        self._order, self._kind, self._chance = order, kind, chance
        self._before = journal.changes(order)

    def judged(self) -> Trial:
        named = self._approved().id
        if self._kind in UNDOES:
            self._platform.executor.execute(named)
        if self._kind == "refused undo":
            self._somebody_else_writes()
        moment, hit = self._writer.killed(self._kind, named, self._chance)
        judges = {"write": self._written, "undo": self._undone, "conflict": self._refused, "task": self._made}
        judges["refused undo"] = self._made_up_for
        faults = tuple(judges[self._kind](named))
        decision = self._platform.proposals.get(named).decision
        receipts = [each.body["receipt"] for each in self._platform.ledger.entries(about=decision) if "receipt" in each.body]
        return Trial(self._kind, moment, hit, any(receipt["found"] for receipt in receipts), faults)

    def _approved(self) -> Proposal:
        """A decision, its proposal and a yes."""
        subject = f"s4/sales_order/{self._order}"
        target, action = ("crm", self._task()) if self._kind == "task" else ("s4", self._action(OURS))
        proposed = {"target": target, "record": action.record, "identity": action.identity, "values": action.values, "amount": "1"}
        body = {"output": {"action": "hold", "firm_id": FIRM, "proposal": proposed}}
        blobs = {"agent": canonical({"name": "credit_desk", "approvers": [ADA.role]})}
        draft = Draft(kind="decision", subject=subject, at=datetime.now(UTC), body=body, blobs=blobs, agent="credit_desk", synthetic=True)
        with self._platform.database.begin() as connection:
            (capsule,) = self._platform.ledger.append_within(connection, [draft])
            proposal = self._platform.proposals.propose_within(
                connection,
                capsule,
                target=target,
                action=action,
                reason="a trial",
                amount=Decimal(1),
                roles=(ADA.role,),
                seen={} if self._kind == "task" else {"DeliveryBlockReason": ""},
            )
        return self._platform.proposals.approve(proposal.id, ADA)

    def _written(self, named: str) -> Iterator[str]:
        """Executed once more: done, once, with one entry that says so. Then taken back."""
        _in_the_end(lambda: self._platform.executor.execute(named))
        yield from self._lacking(named, "executed", OURS, writes=1)
        entries = [each.kind for each in self._platform.ledger.entries(about=self._platform.proposals.get(named).decision)]
        if entries.count("execution") != 1:
            yield f"{entries.count('execution')} entries tell of the execution"
        self._platform.executor.undo(named, OWNER, "a trial")
        yield from self._lacking(named, "undone", "", writes=2)

    def _made(self, named: str) -> Iterator[str]:
        """Executed once more: one task, which is taken away again."""
        _in_the_end(lambda: self._platform.executor.execute(named))
        if (there := self._journal.tasks(self._task().key)) != [False]:
            yield f"the tasks are {there} instead of one"
        self._platform.executor.undo(named, OWNER, "a trial")
        if (there := self._journal.tasks(self._task().key)) != [True]:
            yield f"after the undo the tasks are {there}"

    def _undone(self, named: str) -> Iterator[str]:
        """Taken back once more: as it was, by one write."""
        _in_the_end(lambda: self._platform.executor.undo(named, OWNER, "a trial"))
        yield from self._lacking(named, "undone", "", writes=2)

    def _refused(self, named: str) -> Iterator[str]:
        """Somebody else was there first, or came afterwards: theirs stays, and we are told."""
        self._somebody_else_writes()
        try:
            _in_the_end(lambda: self._platform.executor.execute(named))
            if self._platform.proposals.get(named).status == "executed":  # its receipt was kept before the kill
                self._platform.executor.undo(named, OWNER, "a trial")
        except Conflict:
            pass
        else:
            yield "the conflict was not told"
        if (now := self._journal.block(self._order)) != THEIRS:
            yield f"what somebody else wrote was overwritten: {now!r}"

    def _made_up_for(self, named: str) -> Iterator[str]:
        """Tried once more, the undo is refused, and one offer stands. Its writing is killed, too, and done once more: one task."""
        try:
            _in_the_end(lambda: self._platform.executor.undo(named, OWNER, "a trial"))
        except Conflict:
            pass
        else:
            yield "the conflict was not told"
        offered = self._platform.proposals.compensations(self._platform.proposals.get(named))
        if len(offered) != 1:
            yield f"{len(offered)} offers stand instead of one"
            return
        self._platform.proposals.approve(offered[0].id, ADA)
        self._writer.killed("offer", offered[0].id, self._chance)
        _in_the_end(lambda: self._platform.executor.execute(offered[0].id))
        if (there := self._journal.tasks(offered[0].action.key)) != [False]:
            yield f"the tasks are {there} instead of one"
        if (now := self._journal.block(self._order)) != THEIRS:
            yield f"what somebody else wrote was overwritten: {now!r}"

    def _somebody_else_writes(self) -> None:
        with self._platform.source("s4").write() as target:
            target.execute(target.plan(self._action(THEIRS)))

    def _lacking(self, named: str, status: str, block: str, *, writes: int) -> Iterator[str]:
        told = (self._platform.proposals.get(named).status, self._journal.block(self._order), self._journal.changes(self._order))
        if told != (status, block, self._before + writes):
            yield f"{told} instead of {(status, block, self._before + writes)}"

    def _action(self, block: str) -> Action:
        return Action(
            key=f"{block}-{self._order}", record="sales_order", identity={"SalesOrder": self._order}, values={"DeliveryBlockReason": block}
        )

    def _task(self) -> Action:
        values = {"Subject": f"Ask about order {self._order}", "WhatId": self._journal.account(), "Status": "Not Started"}
        return Action(key=f"task-{self._order}", record="Task", values=values)


def _in_the_end(work: Callable[[], object]) -> None:
    """PostgreSQL gives a dead process's lock back once it notices."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            work()
        except CommitConflict:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return
