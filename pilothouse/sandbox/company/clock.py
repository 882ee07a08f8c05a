"""The company lives on: each beat does what has fallen due, and one thing that nobody could foresee.

A beat is one transaction of the store and carries its own number, so that a crash loses a beat or keeps it. All dice of a
beat come from the seed and that number: the same company led through the same moments makes the same history.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from pilothouse.sandbox.company import crm_acts, master_acts, sales_acts
from pilothouse.sandbox.company.agenda import Agenda
from pilothouse.sandbox.company.beat import Beat
from pilothouse.sandbox.company.store import Store, timestamp
from pilothouse.sandbox.company.truth import Truth
from pilothouse.sandbox.company.world import DAY, World

PACE = timedelta(seconds=20)  # between beats: an order every two minutes, something visible in every beat
CATCH_UP = 40  # due steps in one beat: a pause of hours is made up for in some minutes, not in one long standstill
MEMORY = timedelta(days=30)  # how long the log of changes is kept: Salesforce forgets deletes after as long
_FORGET_EVERY = 500  # beats

Act = Callable[[Beat], list[str]]

# One round of the company's life. Each act comes up as often as it stands here; each round has an order of its own.
ROUND: tuple[Act, ...] = (
    *(sales_acts.place_order,) * 5,
    sales_acts.change_order,
    sales_acts.change_item,
    sales_acts.delete_order,
    sales_acts.reverse_delivery,
    sales_acts.dun,
    sales_acts.archive_journal,
    master_acts.new_partner,
    master_acts.edit_partner,
    master_acts.move_partner,
    master_acts.correct_tax_number,
    master_acts.delete_partner,
    master_acts.edit_product,
    master_acts.new_product,
    master_acts.withdraw_product,
    *(master_acts.rate_anew,) * 2,
    master_acts.trade_share,
    crm_acts.new_account,
    crm_acts.edit_account,
    crm_acts.new_contact,
    crm_acts.edit_contact,
    crm_acts.delete_contact,
    *(crm_acts.new_opportunity,) * 2,
    *(crm_acts.advance_opportunity,) * 2,
    *(crm_acts.new_case,) * 2,
    *(crm_acts.advance_case,) * 2,
    crm_acts.delete_case,
    crm_acts.delete_opportunity,
    crm_acts.delete_account,
)
_DUE = {"deliver": sales_acts.deliver, "bill": sales_acts.bill, "pay": sales_acts.pay}


class Clock:
    """Leads one company's life, one beat at a time."""

    def __init__(self, store: Store, truth: Truth, seed: int) -> None:
        self._store = store
        self._truth = truth
        self._seed = seed
        self._agenda = Agenda(store)
        self._world: World | None = None

    @property
    def beats(self) -> int:
        """How many beats the company has lived."""
        return int(self._store.fact("step") or 0)

    def step(self, now: datetime) -> list[str]:
        """One beat at this moment. Returns in words what happened. A clock set back stands still until it is caught up with."""
        try:
            with self._store.writing():
                return self._step(now)
        except BaseException:
            self._world = None  # what a failed beat did to it must not stay
            raise

    def _step(self, now: datetime) -> list[str]:
        self._world = self._world or self._truth.world()
        number, at = self.beats, self._moment(now)
        beat = Beat(
            store=self._store,
            truth=self._truth,
            world=self._world,
            rates=master_acts.latest_rates(self._store),
            agenda=self._agenda,
            rng=np.random.default_rng([self._seed, 100, number]),
            at=at,
            history_ends=self._history_ends(),
        )
        events = self._live(beat, number)
        self._store.set_fact("step", str(number + 1))
        self._store.set_fact("last beat", timestamp(at))
        if number % _FORGET_EVERY == _FORGET_EVERY - 1:
            self._store.forget(at - MEMORY)
        return events

    def _live(self, beat: Beat, number: int) -> list[str]:
        events = master_acts.publish_figures(beat)
        sales_acts.adopt_orders(beat)
        for step, document in self._agenda.take(timestamp(beat.at), CATCH_UP):
            events += _DUE[step](beat, document)
        round_, place = divmod(number, len(ROUND))
        acts = np.random.default_rng([self._seed, 101, round_]).permutation(len(ROUND))
        happened = ROUND[int(acts[place])](beat)
        return events + (happened or sales_acts.place_order(beat))

    def _moment(self, now: datetime) -> datetime:
        """The moment in whole seconds, never before the last beat: a change must not hide below a watermark already passed."""
        last = self._store.fact("last beat") or self._store.fact("history ends")
        at = now.astimezone(UTC).replace(microsecond=0)
        return at if last is None else max(at, datetime.fromisoformat(last))

    def _history_ends(self) -> int:
        ended = self._store.fact("history ends")
        return int(datetime.fromisoformat(ended).timestamp()) // DAY if ended else 0
