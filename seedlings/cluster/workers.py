"""Workers for long calls: each is checked once, and has one call at a time."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from seedlings.cluster.admission import TIMEOUT, timeout, warn
from seedlings.cluster.connection import Answer, ClusterError, Connection, Member

_PAUSE = 1.0  # seconds between two looks at the list of workers
State = Literal["checking", "ready", "refused"]


@dataclass(slots=True, eq=False)
class Call:
    """A call of a function, which waits for a free worker at first."""

    function: Callable[..., Any]
    values: tuple[Any, ...]
    member: Member | None = None  # where it runs, or has run
    answer: Answer | None = None  # once it has ended; an error if its worker has


class Workers:
    """The workers behind a connection, of which each has one call at a time.

    `check(*values)` runs on a worker before its first call, and returns what is wrong there.
    """

    def __init__(
        self, connection: Connection, check: Callable[..., list[str]], *values: Any
    ) -> None:
        self._connection, self._checking, self._values = connection, check, values
        self._timeout = timeout()
        self._states: dict[Member, State] = {}
        self._waiting: deque[Call] = deque()
        self._running: set[Call] = set()
        self._refusal = ""
        self._had_ready = False
        self._looked, self._ready_at = -_PAUSE, time.monotonic()

    def call(self, function: Callable[..., Any], *values: Any) -> Call:
        """Return a new call, which begins when a worker is free; `look` sets its answer."""
        call = Call(function, values)
        self._waiting.append(call)
        return call

    def forget(self, call: Call) -> None:
        """Give a call up: it does not begin; if it has, its worker gets others once it ends."""
        if call in self._waiting:
            self._waiting.remove(call)
        if call in self._running:
            self._running.remove(call)
            self._connection.forget(call)

    def look(self) -> None:
        """Handle answers, workers that come and go, and begin calls on free workers.

        Raises ClusterError without a scheduler, and if there is no worker for the calls.
        """
        while (answer := self._connection.answer(0.0)) is not None:
            self._handle(answer)
        if time.monotonic() - self._looked >= _PAUSE:
            self._looked = time.monotonic()
            self._compare({*self._connection.members()})
            self._check_states()
        busy = {call.member for call in self._running}
        for member, state in self._states.items():
            if state == "ready" and member not in busy and self._waiting:
                call = self._waiting.popleft()
                call.member = member
                self._running.add(call)
                self._connection.call(member, call, call.function, *call.values)

    def _compare(self, present: set[Member]) -> None:
        """Compare the connected workers with the known ones."""
        for member in self._states.keys() - present:
            del self._states[member]
            self._connection.forget(member)
        for call in [call for call in self._running if call.member not in present]:
            self.forget(call)
            call.answer = Answer(call, error=f"the worker {call.member} has ended")
        for member in sorted(present - self._states.keys(), key=str):
            self._states[member] = "checking"
            self._connection.call(member, member, self._checking, *self._values)

    def _handle(self, answer: Answer) -> None:
        if isinstance(answer.note, Call):
            self._running.discard(answer.note)
            answer.note.answer = answer
        elif answer.note in self._states:
            problems = [answer.error] if answer.error else answer.value
            self._states[answer.note] = "refused" if problems else "ready"
            if problems:
                self._refusal = f"worker {answer.note} is refused: {'; '.join(problems)}"
                warn(self._refusal)

    def _check_states(self) -> None:
        """Raise ClusterError if all workers are refused, or none is ready for a long time."""
        states = {*self._states.values()}
        if "ready" in states:
            self._had_ready, self._ready_at = True, time.monotonic()
        elif states == {"refused"} and not self._had_ready:
            raise ClusterError(
                f"expected a worker that can run the commands, found {self._refusal}"
            )
        elif time.monotonic() - self._ready_at > self._timeout:
            raise ClusterError(
                f"expected workers at the scheduler {self._connection.address}, found none that "
                f"answers and is not refused for {self._timeout:.0f} s ({TIMEOUT}); what is "
                "complete is kept"
            )
