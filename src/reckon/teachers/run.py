"""A run of questions to a teacher: open questions, threads, and the journal.

Entry point: `TraceRun.ask_all`. The journal is the only state: open questions and decisions follow from it. The first
Ctrl-C waits for pending answers and writes them to the journal; the second stops at once.
"""

import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from reckon.data.ratings import Scale
from reckon.errors import ReckonError
from reckon.teachers.asking import Answer, Asker, Patience, Stopped
from reckon.teachers.journal import Journal
from reckon.teachers.rules import Verdict, check_messages, hinted_messages, judge, judge_check
from reckon.teachers.teacher import CHECK, HINTED, PLAIN, Question, Teacher

GRACE = 60.0  # seconds that a stopping run waits for pending answers
POLL = 0.2  # seconds between checks for a stop


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One training row with its question."""

    question: Question
    rating: float
    """The true rating."""
    shown: frozenset[float] = frozenset()
    """Ratings in the prompt."""


class TracesInterrupted(KeyboardInterrupt):
    """Ctrl-C, after all received answers were written to the journal."""


class TraceRun:
    """The rows of a run, their answers so far, and the threads that ask the open questions."""

    def __init__(
        self,
        rows: Sequence[TraceRow],
        scale: Scale,
        teacher: Teacher,
        journal: Journal,
        patience: Patience,
        seed: int = 0,
        *,
        check: bool = True,
    ) -> None:
        """`check`: whether the teacher reads hinted reasoning again before a trace is kept."""
        self.check = check
        self.rows = {row.question.row: row for row in rows}
        self.scale, self.teacher, self.journal, self.patience = scale, teacher, journal, patience
        self.stopping = threading.Event()
        self.asker = Asker(teacher, patience, seed, self.stopping)
        self.kept = self.dropped = 0
        self._failed_in_a_row = 0

    def next_question(self, row: TraceRow) -> Question | None:
        """Next question about a row; None when the row is settled."""
        number, answers = row.question.row, self.journal.answers
        first, second = answers.get((number, PLAIN)), answers.get((number, HINTED))
        if first is None:
            return row.question
        if first.failure is not None or self._judged(row, first).kept:
            return None
        if second is None:
            messages = hinted_messages(row.question.messages, row.rating)
            following = replace(row.question, messages=messages, attempt=HINTED)
        elif self.check and (number, CHECK) not in answers and self._judged(row, second).kept:
            following = replace(row.question, messages=check_messages(second.text, self.scale), attempt=CHECK)
        else:
            return None
        return following if self.teacher.answers(following) else None

    def verdict(self, row: TraceRow) -> tuple[Answer, Verdict]:
        """Last answer about a settled row, and the decision on it after a second reading, if there was one."""
        number, answers = row.question.row, self.journal.answers
        answer = answers.get((number, HINTED)) or answers[number, PLAIN]
        verdict, reading = self._judged(row, answer), answers.get((number, CHECK))
        if self.check and verdict.kept and reading is not None:
            found = judge_check(reading, row.rating, self.scale)
            return answer, Verdict(found.reason, verdict.rating)
        return answer, verdict

    def is_unchecked(self, row: TraceRow) -> bool:
        """Whether a kept trace was hinted and had no second reading."""
        answer, verdict = self.verdict(row)
        return verdict.kept and answer.hinted and not (self.check and (answer.row, CHECK) in self.journal.answers)

    def _judged(self, row: TraceRow, answer: Answer) -> Verdict:
        return judge(answer, row.rating, self.scale, row.shown)

    def ask_all(self, show: Callable[[], None] = lambda: None) -> None:
        """Ask until every row is settled; `show` is called after every change.

        Raises:
            TeacherRefused: from the teacher.
            ReckonError: `give_up_after` consecutive rows failed. TracesInterrupted: Ctrl-C.
        """
        waiting: deque[Question] = deque()
        for row in self.rows.values():
            question = self.next_question(row)
            if question is None:
                self._count(row)
            else:
                waiting.append(question)
        show()
        threads = min(self.patience.parallel, self.teacher.most_parallel or len(waiting), len(waiting))
        pool = _Pool(self.asker.ask, threads)
        with _ctrl_c(self.stopping):
            try:
                self._work_off(waiting, pool, show)
            except (ReckonError, TracesInterrupted):
                self._drain(pool, show)
                raise
            finally:
                self.stopping.set()
                pool.close()

    def _work_off(self, waiting: "deque[Question]", pool: "_Pool", show: Callable[[], None]) -> None:
        while waiting or pool.busy:
            while waiting and pool.busy < pool.threads:
                pool.put(waiting.popleft())
            answer = pool.get(POLL)
            if answer is not None:
                follow_up = self._take(answer)
                if follow_up is not None:
                    waiting.appendleft(follow_up)
                show()
            if self.stopping.is_set():
                raise TracesInterrupted("Answers so far are kept; run the same command to go on")

    def _take(self, answer: Answer) -> Question | None:
        """Write an answer to the journal; returns the next question about its row, if any."""
        self.journal.add(answer)
        row = self.rows[answer.row]
        question = self.next_question(row)
        if question is None:
            self._count(row)
        self._failed_in_a_row = self._failed_in_a_row + 1 if answer.failure else 0
        if self._failed_in_a_row >= self.patience.give_up_after:
            raise ReckonError(
                f"the teacher failed on {self._failed_in_a_row} consecutive rows; last failure: {answer.failure} "
                f"({answer.detail}). Fix: remove the cause, then run the same command with --ask-failed-again."
            )
        return question

    def _count(self, row: TraceRow) -> None:
        if self.verdict(row)[1].kept:
            self.kept += 1
        else:
            self.dropped += 1

    def _drain(self, pool: "_Pool", show: Callable[[], None]) -> None:
        """Ask no further questions, but write pending answers to the journal: they are paid for."""
        self.stopping.set()
        end = time.monotonic() + GRACE
        while pool.busy and time.monotonic() < end:
            show()
            try:
                answer = pool.get(POLL)
            except ReckonError:  # the same refusal from another thread
                continue
            if answer is not None:
                self.journal.add(answer)

    def tokens(self) -> tuple[int, int]:
        """Prompt and completion tokens of all answers that report them."""
        answers = self.journal.answers.values()
        return sum(a.prompt_tokens or 0 for a in answers), sum(a.completion_tokens or 0 for a in answers)


class _Pool:
    """Daemon threads that ask questions; a thread that hangs in a request does not keep the process alive."""

    def __init__(self, ask: Callable[[Question], Answer], threads: int) -> None:
        self.threads, self.busy = threads, 0
        self._ask = ask
        self._questions: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Answer | BaseException] = queue.SimpleQueue()
        for _ in range(threads):
            threading.Thread(target=self._work, daemon=True).start()

    def put(self, question: Question) -> None:
        """Queue one question."""
        self.busy += 1
        self._questions.put(question)

    def get(self, seconds: float) -> Answer | None:
        """The next answer; None if none came in time or a question was returned. Raises the exception of a thread."""
        try:
            result = self._results.get(timeout=seconds)
        except queue.Empty:
            return None
        self.busy -= 1
        if isinstance(result, Stopped):
            return None
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        """End the idle threads."""
        for _ in range(self.threads):
            self._questions.put(None)

    def _work(self) -> None:
        while (question := self._questions.get()) is not None:
            try:
                self._results.put(self._ask(question))
            except BaseException as error:  # raised again in the main thread
                self._results.put(error)


@contextmanager
def _ctrl_c(stopping: threading.Event) -> Iterator[None]:
    """The first Ctrl-C sets `stopping`; the second raises KeyboardInterrupt, also while the run waits."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def request(*_: object) -> None:
        stopping.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, request)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
