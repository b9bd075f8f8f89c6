"""What people say of an episode, in words of one vocabulary, and what counts where they have said several things.

Pure. The vocabulary is this project's; failure causes are those of common manipulation and locomotion data sets, as
far as they can be told by looking, and `other` with a note is always there.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from palaestra.errors import PalaestraError

ACCEPTED, REJECTED = "accepted", "rejected"
VERDICTS = (ACCEPTED, REJECTED)
OUTCOMES = ("success", "failure")
GRADES = ("good", "usable", "poor")
FAILURE_CAUSES = (
    *("missed_grasp", "dropped", "wrong_object", "wrong_place", "collision", "fell", "slipped", "unreachable"),
    *("timeout", "joint_limit", "sensor_fault", "motor_fault", "recording_fault", "operator_stop", "other"),
)
SUBTASKS = (
    *("reach", "grasp", "lift", "carry", "place", "release", "push", "pull", "insert", "open", "close", "wipe", "pour"),
    *("walk", "turn", "stand", "crouch", "climb", "recover", "hand_over", "wait", "other"),
)
SUBTASKS_MAX = 200
SLACK_S = 1e-3
"""An end may be so much after the episode's: its duration is told rounded."""
FAULT = "fault."
"""Before the kind, the label of what a rule has found."""
RULE, PERSON = "rule", "person"


@dataclass(frozen=True)
class Subtask:
    """A part of an episode: one word of `SUBTASKS`, from when to when [s]."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Opinion:
    """One answer; None is what it says nothing of.

    Attributes:
        verdict: Whether the episode is to be used, one of `VERDICTS`.
        outcome: How the task ended, one of `OUTCOMES`; failure_cause: why it failed, one of `FAILURE_CAUSES`.
        grade: How good the recording is, one of `GRADES`.
        faults: Kinds of faults that are there, all of them and no others; () for none.
        subtasks: Parts of the episode, in order of their start.
        note: Free words.
        reviewer: Who has looked, where several people share one login.
    """

    verdict: str | None = None
    outcome: str | None = None
    failure_cause: str | None = None
    grade: str | None = None
    faults: tuple[str, ...] | None = None
    subtasks: tuple[Subtask, ...] | None = None
    note: str = ""
    reviewer: str = ""

    @property
    def says_nothing(self) -> bool:
        """Whether there is nothing in it."""
        said = (self.verdict, self.outcome, self.failure_cause, self.grade, self.faults, self.subtasks)
        return all(value is None for value in said) and not self.note

    def check(self, duration_s: float) -> None:
        """Raise INVALID_FIELD, with the field, for what is in no vocabulary or beyond the episode."""
        if self.says_nothing:
            raise PalaestraError("INVALID_FIELD", "answer: says nothing")
        for name, words in _WORDS.items():
            value = getattr(self, name)
            if value is not None and value not in words:
                raise PalaestraError("INVALID_FIELD", f"answer.{name}: {value[:60]!r} is none of {', '.join(words)}")
        if self.failure_cause is not None and self.outcome == "success":
            raise PalaestraError("INVALID_FIELD", "answer.failure_cause: what succeeded has none")
        if len(self.subtasks or ()) > SUBTASKS_MAX:
            raise PalaestraError("INVALID_FIELD", f"answer.subtasks: more than {SUBTASKS_MAX}")
        for one in self.subtasks or ():
            if one.name not in SUBTASKS:
                raise PalaestraError(
                    "INVALID_FIELD", f"answer.subtasks: {one.name[:60]!r} is none of {', '.join(SUBTASKS)}"
                )
            if not (math.isfinite(one.end_s) and 0 <= one.start_s < one.end_s <= duration_s + SLACK_S):
                span = f"{one.start_s:g} to {one.end_s:g} s"
                raise PalaestraError(
                    "INVALID_FIELD", f"answer.subtasks: {one.name} from {span}, and the episode is {duration_s:g} s"
                )


_WORDS = {"verdict": VERDICTS, "outcome": OUTCOMES, "failure_cause": FAILURE_CAUSES, "grade": GRADES}


@dataclass(frozen=True)
class Answer:
    """An opinion as it was given.

    Attributes:
        id: Rises with time.
        author: Who was logged in.
        rule_method, rule_faults: What the rules said when it was given.
    """

    id: int
    author: str
    set_ns: int
    opinion: Opinion
    rule_method: str
    rule_faults: tuple[str, ...]


@dataclass(frozen=True)
class Annotation:
    """One field of an episode, and who says so.

    Attributes:
        kind: `rule` or `person`.
        version: Of the rule; of a person the number of the answer.
    """

    field: str
    value: str
    author: str
    kind: str
    version: str
    set_ns: int


def standing(answers: Iterable[Answer]) -> list[Annotation]:
    """Return what counts of several answers, field by field: the latest that says anything of it."""
    found: dict[str, Annotation] = {}
    for one in sorted(answers, key=lambda answer: answer.id):
        for name, value in spoken(one.opinion).items():
            who = one.opinion.reviewer or one.author
            found[name] = Annotation(name, value, who, PERSON, str(one.id), one.set_ns)
    return [found[name] for name in sorted(found)]


def spoken(opinion: Opinion) -> dict[str, str]:
    """Return the fields that an opinion says something of, each as one text."""
    said = {name: getattr(opinion, name) for name in _WORDS}
    found = {name: value for name, value in said.items() if value is not None}
    if opinion.faults is not None:
        found["faults"] = ", ".join(sorted(opinion.faults)) or "none"
    if opinion.subtasks is not None:
        parts = (f"{one.name} {one.start_s:g}-{one.end_s:g} s" for one in opinion.subtasks)
        found["subtasks"] = ", ".join(parts) or "none"
    if opinion.note:
        found["note"] = opinion.note
    return found


def labels_of(opinion: Opinion) -> dict[str, str]:
    """Return the labels by which a search finds what an opinion says. The verdict closes the queue's own label."""
    said = spoken(opinion)
    keys = {"verdict": "review", "outcome": "outcome", "failure_cause": "failure_cause", "grade": "grade"}
    found = {label: said[name] for name, label in keys.items() if name in said}
    if opinion.outcome == "success":
        # A cause that an earlier answer has named is none any more; taking labels away is the caller's.
        found.pop("failure_cause", None)
    return found


@dataclass(frozen=True)
class Agreement:
    """A rule for one kind of fault against people's answers.

    Attributes:
        both, rule_only, person_only: Episodes, of those that a person has said the faults of.
    """

    method: str
    kind: str
    both: int
    rule_only: int
    person_only: int

    @property
    def precision(self) -> float | None:
        """The share of what the rule has found that people see too; None where it has found nothing."""
        found = self.both + self.rule_only
        return self.both / found if found else None

    @property
    def recall(self) -> float | None:
        """The share of what people see that the rule has found; None where they have seen nothing."""
        seen = self.both + self.person_only
        return self.both / seen if seen else None


def agreement(told: Iterable[tuple[str, Sequence[str], Sequence[str]]]) -> list[Agreement]:
    """Return for each method and kind how rules and people agree.

    told: (method, kinds by the rule, kinds by the person), one for each episode.
    """
    counts: dict[tuple[str, str], list[int]] = {}
    for method, ruled, seen in told:
        for kind in {*ruled, *seen}:
            which = 0 if kind in ruled and kind in seen else 1 if kind in ruled else 2
            counts.setdefault((method, kind), [0, 0, 0])[which] += 1
    return [Agreement(method, kind, *counts[method, kind]) for method, kind in sorted(counts)]


def informative(figures: Iterable[Agreement]) -> tuple[dict[str, float], float]:
    """Return how much one more answer tells of each kind's precision, and of a kind that nobody has looked at.

    The variance of the precision as it is known: that of a Beta distribution with one more of each sort than was
    counted (Laplace's rule of succession), a b / ((a + b)^2 (a + b + 1)). All methods together.
    """
    counts: dict[str, list[int]] = {}
    for one in figures:
        known = counts.setdefault(one.kind, [0, 0])
        known[0] += one.both
        known[1] += one.rule_only
    return {kind: _variance(right + 1, wrong + 1) for kind, (right, wrong) in counts.items()}, _variance(1, 1)


def _variance(a: int, b: int) -> float:
    return a * b / ((a + b) ** 2 * (a + b + 1))


def packed(subtasks: Sequence[Subtask]) -> str:
    """Return subtasks as the catalogue keeps them."""
    return json.dumps([[one.name, one.start_s, one.end_s] for one in subtasks])


def unpacked(text: str) -> tuple[Subtask, ...]:
    """Return subtasks from what the catalogue keeps."""
    return tuple(Subtask(str(name), float(start_s), float(end_s)) for name, start_s, end_s in json.loads(text))


def kinds_in(labels: Mapping[str, str]) -> list[str]:
    """Return the kinds of faults among labels."""
    return sorted(key.removeprefix(FAULT) for key in labels if key.startswith(FAULT))
