"""Accepting jobs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from palaestra.errors import PalaestraError
from palaestra.v1 import job_pb2, job_service_pb2
from scheduler import resources, scenario, scene, snapshot
from scheduler.commands import dependencies, reserving, simfirst
from scheduler.commands.draft import Draft, draft_of, serialized
from scheduler.commands.intake import NOTHING, Entry, Held, Intake
from scheduler.contradiction import contradiction, has_units
from scheduler.encoding import Serialized, length_delimited
from scheduler.explain import impossible, unknown_selector
from scheduler.lifecycle import JobState
from scheduler.requestorder import RequestOrder
from scheduler.snapshot.queue import NO_DEADLINE_NS
from scheduler.sql import Connection, Row, portions
from scheduler.tree import beyond_limit
from scheduler.writer import Command, Joint, Transaction

AFTER_MAX = 64
# Different claims and works of which it is remembered what is wrong with them.
PROBLEMS_MAX = 4096
_RESULTS = job_service_pb2.BatchSubmitJobsResponse.DESCRIPTOR.fields_by_name["results"].number
_OF_RESULT = {field.name: field.number for field in job_service_pb2.BatchSubmitResult.DESCRIPTOR.fields}


@dataclass(frozen=True)
class Catalogue:
    """What the connected runners know. Empty sets: nobody has said yet, so nothing is refused."""

    tasks: frozenset[str] = frozenset()
    motions: frozenset[str] = frozenset()
    robot_models: frozenset[str] = frozenset()
    worlds: scene.Vocabulary = field(default=scene.Vocabulary(), hash=False)
    scenarios: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Limits:
    """Bounds per vendor."""

    queued_jobs_max: int = 20_000


def submit(vendor: str, draft: Draft, catalogue: Catalogue, limits: Limits) -> Command[job_pb2.Job]:
    """Return the command that accepts one job of `vendor`, or returns the one that its request id made before."""
    submission = Submission(vendor, (draft,), catalogue, limits, atomic=True)

    def answer(found: Accepted) -> job_pb2.Job:
        (result,) = found.results
        if isinstance(result, PalaestraError):
            raise result
        return result.job() if isinstance(result, Entry) else result

    return Joint(accept, submission, answer, Accepted.is_new)


def check(
    vendor: str, job: job_pb2.Job, catalogue: Catalogue, limits: Limits
) -> Command[tuple[job_pb2.Job, str, "Held"]]:
    """Return the command that refuses what `submit` would refuse, and changes nothing.

    It returns the job without what only we may set, whose share it would count against, and what it would wait for
    besides its claim.
    """

    def command(tx: Transaction) -> tuple[job_pb2.Job, str, Held]:
        checks = checks_of(tx, vendor, catalogue, limits)
        if draft.problem is not None:
            raise draft.problem
        checks.depth()
        held = admit(tx, vendor, draft, checks)
        return draft.spec, checks.leaf(draft.spec.project), held

    draft = draft_of(job_service_pb2.SubmitJobRequest(job=job))
    return command


def submit_batch(
    vendor: str, drafts: Sequence[Draft], catalogue: Catalogue, limits: Limits, *, atomic: bool = False
) -> Command[Serialized]:
    """Return the command that accepts many jobs in one transaction; its result is a BatchSubmitJobsResponse.

    atomic: One invalid job refuses all.
    """
    submission = Submission(vendor, drafts, catalogue, limits, atomic=atomic, is_batch=True)

    def answer(found: Accepted) -> Serialized:
        return Serialized(b"".join(map(_result, found.results)))

    if any(draft.places for draft in drafts):
        # Some must be entered before others can be judged, and be undone if those are refused.
        return lambda tx: answer(_alone(tx, submission))
    return Joint(accept, submission, answer, Accepted.is_new, size=len(drafts))


class Checks:
    """What holds for all jobs that a vendor submits within one transaction, read from the database once."""

    def __init__(self, tx: Transaction, vendor: str, catalogue: Catalogue, limits: Limits) -> None:
        self.catalogue = catalogue
        self.limits = limits
        self._vendor = vendor
        self._inventory = snapshot.inventory(tx.db, tx.now_ns)
        self._parties = {party.vendor: party for party in snapshot.tree(tx.db)}
        self._leaves = snapshot.leaves(tx.db, vendor)
        self._problems: dict[str, PalaestraError | None] = {}
        self.sim_first = simfirst.holds_for_every_job(tx.db)
        self._tx = tx
        self._count(0)

    def ask(self, tx: Transaction) -> None:
        """Say in which transaction is asked from here on."""
        if tx is not self._tx:
            self._tx, self._is_exact = tx, False

    def _count(self, pending: int) -> None:
        query = "SELECT count(*) FROM job WHERE vendor = ? AND state = 1"
        self._queued: int = self._tx.db.execute(query, (self._vendor,)).fetchone()[0] + pending
        self._is_exact = True

    def depth(self, more: int = 1, intake: Intake | None = None) -> None:
        """Raise QUEUE_FULL unless so many more jobs of the vendor may wait. intake: Those that are not entered yet."""
        most = self.limits.queued_jobs_max
        if self._queued + more > most and not self._is_exact:
            # Some may have left the queue since they were counted; none has come back (see `snapshot.lasting`).
            self._count(0 if intake is None else intake.count_of(self._vendor))
        if self._queued + more > most:
            raise PalaestraError(
                "QUEUE_FULL",
                f"{self._queued} jobs of this vendor are waiting, at most {most} are allowed",
                retry_after_s=5.0,
            )

    def leaf(self, project: str) -> str:
        """Return whose share a job counts against. Raises INVALID_FIELD for what is no project of the vendor."""
        found = self._leaves.get(project)
        if found is None:
            known = ", ".join(sorted(name for name in self._leaves if name)) or "it has none"
            raise invalid("job.project", f"{project!r} is no project of this vendor; projects: {known}")
        return found

    def accepted(self, count: int = 1) -> None:
        """Count jobs more, or less."""
        self._queued += count

    def work(self, draft: Draft) -> None:
        """Raise INVALID_FIELD for work that is not said or not a vendor's, or a claim that contradicts itself or it.

        Raise UNKNOWN_SELECTOR or IMPOSSIBLE_CLAIM for a claim that this venue could never serve, QUOTA_EXCEEDED for one
        that would be over a limit even if it were the only one, and UNKNOWN_WORK for work that no runner knows.
        """
        alike = draft.form.alike
        if alike not in self._problems:
            if len(self._problems) >= PROBLEMS_MAX:
                self._problems.clear()
            self._problems[alike] = self._problem_of(draft.spec)
        problem = self._problems[alike]
        if problem is not None:
            raise PalaestraError(problem.reason, problem.message, metadata=problem.metadata)

    def _problem_of(self, spec: job_pb2.Job) -> PalaestraError | None:
        try:
            _known_kind(spec)
            problem = self._problem(spec)
            if problem is None:
                _known_work(spec, self.catalogue)
                _possible_worlds(spec, self.catalogue)
            return problem
        except PalaestraError as error:
            return error

    def _problem(self, spec: job_pb2.Job) -> PalaestraError | None:
        wrong = contradiction(spec)
        if wrong is not None:
            return invalid(*wrong)
        claim = snapshot.claim_of(spec.claim)
        unknown = unknown_selector(claim, self._inventory)
        if unknown is not None:
            return PalaestraError("UNKNOWN_SELECTOR", unknown)
        never = impossible(claim, self._inventory)
        if never is not None:
            return PalaestraError("IMPOSSIBLE_CLAIM", never)
        beyond = beyond_limit(claim, self.leaf(spec.project), self._parties)
        return None if beyond is None else PalaestraError("QUOTA_EXCEEDED", beyond)


def checks_of(tx: Transaction, vendor: str, catalogue: Catalogue, limits: Limits) -> Checks:
    """Return the checks that the commands of this transaction share, and those of others as long as they hold."""
    key = f"checks {vendor}"
    found: Checks | None = tx.memo.get(key)
    if found is None and tx.lasting is not None:
        found = tx.lasting.get(key)
    elif tx.lasting is not None:
        tx.lasting.touch()
    if found is None or found.catalogue != catalogue or found.limits != limits:
        found = Checks(tx, vendor, catalogue, limits)
        if tx.lasting is not None:
            tx.lasting.put(key, found)
    tx.memo[key] = found
    found.ask(tx)
    return found


def _result(result: "Result") -> bytes:
    """Return one of `BatchSubmitJobsResponse.results`."""
    if isinstance(result, Entry):
        told = length_delimited(_OF_RESULT["job"], result.message())
    elif isinstance(result, PalaestraError):
        failure = job_pb2.Failure(reason=result.reason, message=result.message)
        told = length_delimited(_OF_RESULT["failure"], failure.SerializeToString())
    else:
        told = length_delimited(_OF_RESULT["job"], result.SerializeToString(deterministic=True))
    return length_delimited(_RESULTS, told)


# An entered job, one that was there or was only looked at, or why there is none.
Result = Entry | job_pb2.Job | PalaestraError


@dataclass(frozen=True, slots=True, eq=False)
class Submission:
    """What one call submits. atomic: One invalid job refuses all. is_batch: Others may come along in the same call."""

    vendor: str
    drafts: Sequence[Draft]
    catalogue: Catalogue
    limits: Limits
    atomic: bool
    is_batch: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Accepted:
    """What came of a submission: its results, in order, and how many of them are jobs that were not there before."""

    results: Sequence[Result]
    new: int

    def is_new(self) -> bool:
        """Whether anything was changed: not by repeats, nor by what was only checked."""
        return self.new > 0


def accept(tx: Transaction, submissions: Sequence[Submission]) -> list[Accepted | PalaestraError]:
    """Accept the jobs of several calls with as few statements as those of one; return for each what came of it.

    An atomic call that is refused has an error instead, and leaves no trace.
    """
    intake, earlier = Intake(tx), Earlier(tx, submissions)
    intake.expect(sum(len(submission.drafts) for submission in submissions))
    found: list[Accepted | PalaestraError] = []
    for submission in submissions:
        checks = checks_of(tx, submission.vendor, submission.catalogue, submission.limits)
        try:
            found.append(_accept(tx, submission, checks, intake, earlier))
        except PalaestraError as error:
            found.append(error)
    intake.enter()
    return found


def _alone(tx: Transaction, submission: Submission) -> Accepted:
    (found,) = accept(tx, [submission])
    if isinstance(found, PalaestraError):
        raise found
    tx.repeated = not found.is_new()
    return found


def _accept(tx: Transaction, submission: Submission, checks: "Checks", intake: Intake, earlier: "Earlier") -> Accepted:
    drafts = submission.drafts
    results: list[Result | None] = [None] * len(drafts)
    order: Iterable[int] = range(len(drafts))
    problems: Mapping[int, PalaestraError] = {}
    if any(draft.places for draft in drafts):
        if not submission.is_batch:
            raise invalid("after_indices", "says something in a batch only")
        ordered = RequestOrder.of([draft.places for draft in drafts])
        order, problems = ordered.indices, ordered.problems
    added: list[Entry] = []
    for index in order:
        draft = drafts[index]
        try:
            if index in problems:
                raise problems[index]
            before = [_accepted(results[place], place, draft) for place in draft.places]
            if before:
                intake.enter()
            results[index] = _one(tx, submission.vendor, draft, checks, intake, earlier, before, added)
        except PalaestraError as error:
            if not submission.atomic:
                results[index] = error
                continue
            # Those that are entered already are undone with the whole command.
            intake.forget(min(len(added), len(intake)))
            earlier.forget(submission.vendor, added)
            checks.accepted(-len(added))
            if not submission.is_batch:
                raise
            raise PalaestraError(
                error.reason, f"requests[{index}]: {error.message}", metadata={"index": str(index)}
            ) from error
    return Accepted([result for result in results if result is not None], len(added))


def _one(
    tx: Transaction,
    vendor: str,
    draft: Draft,
    checks: "Checks",
    intake: Intake,
    earlier: "Earlier",
    before: Sequence[str],
    added: list[Entry],
) -> Entry | job_pb2.Job:
    """Accept one job.

    before: Jobs of the same batch that it comes after, besides those that it names itself. added: Takes what is new.
    """
    if draft.problem is not None:
        raise draft.problem
    if draft.request_id:
        repeated = earlier.find(vendor, draft)
        if repeated is not None:
            return repeated
    spec, body = None, draft.body
    if before:
        spec = job_pb2.Job()
        spec.CopyFrom(draft.spec)
        own = set(spec.after)
        spec.after.extend(name for name in dict.fromkeys(before) if name and name not in own)
        if len(spec.after) > AFTER_MAX:
            raise invalid(
                "after_indices", f"with the job's own, {len(spec.after)} jobs come first, at most {AFTER_MAX}"
            )
        body = serialized(spec)
    checks.depth(intake=intake)
    held = admit(tx, vendor, draft, checks, spec)
    if draft.validate_only:
        return draft.spec if spec is None else spec
    if draft.form.plain and not before:
        snapshot.tell_wishes(body, vendor, draft.form.wishes(body, vendor))
    entry = intake.add(
        vendor,
        checks.leaf(draft.form.project),
        body,
        priority=draft.form.priority,
        deadline_ns=draft.form.deadline_ns,
        held=held,
        request_id=draft.request_id or None,
        digest=draft.digest,
    )
    if draft.request_id:
        earlier.add(vendor, draft.request_id, entry)
    checks.accepted()
    added.append(entry)
    return entry


def _accepted(result: Result | None, index: int, draft: Draft) -> str:
    """Return the name of the batch's job that another one comes after. Raises DEPENDENCY_FAILED if it was refused."""
    assert result is not None, "those that come first are accepted first"
    if isinstance(result, PalaestraError):
        raise PalaestraError("DEPENDENCY_FAILED", f"requests[{index}], which comes first, was refused")
    if not result.name and not draft.validate_only:
        raise PalaestraError("DEPENDENCY_FAILED", f"requests[{index}], which comes first, is checked and not submitted")
    return result.name


class Earlier:
    """The jobs that request ids have made, before this transaction or in it: looked for with one query for a vendor."""

    def __init__(self, tx: Transaction, submissions: Sequence[Submission]) -> None:
        self._db = tx.db
        self._found: dict[tuple[str, str], Row | Entry] = {}
        wanted: dict[str, list[str]] = {}
        for submission in submissions:
            for draft in submission.drafts:
                if draft.request_id:
                    wanted.setdefault(submission.vendor, []).append(draft.request_id)
        for vendor, request_ids in wanted.items():
            for some, text in portions(request_ids):
                query = f"SELECT * FROM job WHERE vendor = ? AND request_id IN {text}"
                for row in tx.db.execute(query, (vendor, *some)):
                    self._found[vendor, row["request_id"]] = row

    def find(self, vendor: str, draft: Draft) -> Entry | job_pb2.Job | None:
        """Return the job that the draft's request id made. Raises REQUEST_ID_REUSED if it was for another one."""
        found = self._found.get((vendor, draft.request_id))
        if found is None:
            return None
        if (found.digest if isinstance(found, Entry) else found["request_sha256"]) != draft.digest:
            raise PalaestraError(
                "REQUEST_ID_REUSED",
                f"request id {draft.request_id} was used for another job",
                metadata={"request_id": draft.request_id},
            )
        return found if isinstance(found, Entry) else resources.job(self._db, found)

    def add(self, vendor: str, request_id: str, entry: Entry) -> None:
        self._found[vendor, request_id] = entry

    def forget(self, vendor: str, entries: Sequence[Entry]) -> None:
        """Take back what was added for jobs that are not to be."""
        for entry in entries:
            self._found.pop((vendor, entry.request_id or ""), None)


def admit(tx: Transaction, vendor: str, draft: Draft, checks: Checks, more: job_pb2.Job | None = None) -> Held:
    """Return what a job waits for besides its claim; refuse one that could never run here.

    more: What it is with jobs of the same batch that come first, where there are any.
    """
    checks.work(draft)
    if draft.form.plain and more is None and not checks.sim_first:
        return NOTHING
    spec = draft.spec if more is None else more
    if spec.HasField("deadline"):
        _deadline_ahead(spec, tx.now_ns)
    booked = reserving.check(tx, vendor, spec.reservation, snapshot.claim_of(spec.claim)) if spec.reservation else None
    before = dependencies.waits_for(tx.db, vendor, spec)
    _policy_ready(tx.db, vendor, spec)
    gated = spec.sim_first or checks.sim_first
    works = simfirst.closed_gates(tx.db, vendor, spec) if gated and has_units(spec) else ()
    return Held(before, works, booked) if before or works or booked is not None else NOTHING


def _deadline_ahead(spec: job_pb2.Job, now_ns: int) -> None:
    seconds, nanos = spec.deadline.seconds, spec.deadline.nanos
    if not 0 <= nanos < 1_000_000_000:
        raise invalid("job.deadline", f"has {nanos} nanos, not 0 to 999,999,999")
    if seconds * 1_000_000_000 + nanos <= now_ns:
        raise invalid("job.deadline", "lies in the past")
    if seconds * 1_000_000_000 + nanos >= NO_DEADLINE_NS:
        raise invalid("job.deadline", "lies after the year 2261")


def _known_kind(spec: job_pb2.Job) -> None:
    kind = spec.WhichOneof("work")
    if kind is None:
        raise invalid("job.work", "one of collect, train, evaluate, serve must be set")
    if kind == "check":
        raise invalid("job.work", "a check is the venue's own work; units are checked when it is due")
    if kind == "collect" and spec.collect.WhichOneof("source") is None:
        raise invalid("job.collect.source", "one of motion, policy_job, policy, script must be set")
    about_scenario = scenario.problem(spec)
    if about_scenario is not None:
        raise invalid(*about_scenario)
    if kind == "serve" and not (spec.serve.task or spec.serve.motion):
        raise invalid("job.serve.source", "one of task, motion must be set")


def _known_work(spec: job_pb2.Job, catalogue: Catalogue) -> None:
    work = getattr(spec, spec.WhichOneof("work"))
    wanted: Sequence[tuple[str, frozenset[str]]] = (
        ("task", catalogue.tasks if not isinstance(work, job_pb2.CollectSpec) else frozenset()),
        ("policy_task", catalogue.tasks),
        ("motion", catalogue.motions),
        ("robot_model", catalogue.robot_models),
    )
    for name, known in wanted:
        value = getattr(work, name, "")
        if value and known and value not in known:
            raise PalaestraError(
                "UNKNOWN_WORK",
                f"{name} {value!r} is not known here; known: {', '.join(sorted(known))}",
                metadata={"field": name, "value": value},
            )
    stranger = scenario.unknown(spec, catalogue.scenarios)
    if stranger is not None:
        name, meant = stranger
        raise PalaestraError(
            "UNKNOWN_WORK",
            f"scenario {name!r} is not known here{meant}",
            metadata={"field": "scenario", "value": name},
        )


def _possible_worlds(spec: job_pb2.Job, catalogue: Catalogue) -> None:
    wrong = scene.problem(spec, catalogue.worlds)
    if wrong is not None:
        raise invalid(*wrong)
    refused = scene.refused_server(spec, catalogue.worlds)
    if refused is not None:
        raise PalaestraError("POLICY_SERVER_REFUSED", refused[1], metadata={"field": refused[0]})


def _policy_ready(db: Connection, vendor: str, spec: job_pb2.Job) -> None:
    name = getattr(getattr(spec, spec.WhichOneof("work")), "policy_job", "")
    if not name:
        return
    if policy_of(db, vendor, name) is None and not dependencies.trains_policy(db, vendor, spec):
        raise PalaestraError(
            "POLICY_NOT_READY", f"{name} is no succeeded training job of this vendor", metadata={"job": name}
        )


def policy_of(db: Connection, vendor: str, name: str) -> job_pb2.Artifact | None:
    """Return the policy that a vendor's training job left, or None."""
    owner, uid = name.split("/")[1], name.split("/")[3]
    row = db.execute(
        "SELECT result FROM job WHERE uid = ? AND vendor = ? AND state = ?", (uid, vendor, JobState.SUCCEEDED)
    ).fetchone()
    if row is None or owner != vendor or row["result"] is None:
        return None
    result = job_pb2.JobResult.FromString(row["result"])
    return result.policy if result.HasField("policy") else None


def invalid(field: str, problem: str) -> PalaestraError:
    return PalaestraError("INVALID_FIELD", f"{field}: {problem}", metadata={"field": field, "rule": problem})
