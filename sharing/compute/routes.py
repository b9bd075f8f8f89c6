"""REST of compute jobs: `/sharing/v1/algorithms` and `/sharing/v1/jobs`."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI

from palaestra.errors import PalaestraError
from sharing.aggregate.routes import digest_of
from sharing.body import fields_of, json_body, text_of
from sharing.compute.algorithm import Algorithm, Approvals, built_in
from sharing.compute.cluster import Cluster
from sharing.compute.house import House
from sharing.compute.jobs import Job, Jobs, TooManyJobs
from sharing.errors import InvalidAlgorithm, NotShared
from sharing.identity import Caller
from sharing.room import Room


def router(room: Room) -> APIRouter:
    """Return the routes. Jobs run while the application does."""
    now_s = room.clock.now_s
    approvals = Approvals(room.database, room.witness, now_s)
    jobs = Jobs(room.database, room.witness, now_s)
    run = Cluster(room.cluster).run if room.cluster else None
    house = House(room.gate, room.projector, room.witness, approvals, jobs, run=run)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        house.start()
        yield
        house.stop()

    found = APIRouter(prefix="/sharing/v1", tags=["compute"], lifespan=lifespan)
    who = Depends(room.caller)
    body = Depends(json_body)

    @found.get("/algorithms", summary="Algorithms of the room, and those that a provider allows")
    def algorithms(caller: Caller = who, agreement: str = "") -> dict[str, Any]:
        # A consumer sees what its own agreement's provider allows; without one, a vendor sees its own list.
        provider = caller.looks()
        if agreement:
            provider = room.register.get(agreement, provider).agreement.terms.provider
        allowed = [{**dict(row), "outputs": json.loads(row["outputs"])} for row in approvals.allowed(provider)]
        known = [{"name": name, "sha256": one.sha256} for name, one in built_in().items()]
        return {"provider": provider, "allowed": allowed, "built_in": known}

    @found.post("/algorithms", summary="Providers: let an algorithm visit the vendor's data")
    def approve(caller: Caller = who, given: object = body) -> dict[str, Any]:
        name, source, outputs = fields_of(given, "name", optional=("source", "outputs"))
        try:
            if source is None:
                algorithm = built_in().get(text_of("name", name))
                if algorithm is None:
                    raise InvalidAlgorithm(
                        f"name: none of {', '.join(built_in())}; others come with source and outputs"
                    )
            else:
                algorithm = Algorithm.of(name, source, outputs)
            approvals.approve(caller.decides(), algorithm)
        except InvalidAlgorithm as error:
            raise _invalid(error) from None
        return {"name": algorithm.name, "sha256": algorithm.sha256, "outputs": algorithm.outputs.as_json()}

    @found.post("/algorithms/{sha256}:withdraw", summary="Providers: let it visit no more; its jobs end")
    def withdraw(sha256: str, caller: Caller = who) -> dict[str, Any]:
        if not approvals.withdraw(caller.decides(), sha256):
            raise NotShared
        return {"sha256": sha256}

    @found.post("/jobs", summary="Have an allowed algorithm visit the data of an agreement")
    def submit(caller: Caller = who, given: object = body) -> dict[str, Any]:
        agreement, algorithm, parameters, version = fields_of(
            given, "agreement", "algorithm", optional=("parameters", "version")
        )
        if version is not None and (type(version) is not int or not 0 <= version < 10**9):
            raise PalaestraError("INVALID_FIELD", "version: must be a whole number", metadata={"field": "version"})
        try:
            job = house.submit(
                caller.takes(),
                digest_of(agreement),
                caller.purpose,
                text_of("algorithm", algorithm, most=64),
                {} if parameters is None else parameters,
                int(str(version or 0)),
            )
        except InvalidAlgorithm as error:
            raise _invalid(error) from None
        except TooManyJobs:
            raise PalaestraError("OVER_QUOTA", "so many jobs of the vendor are open already") from None
        return _told(job)

    @found.get("/jobs", summary="Jobs that the vendor asked for, and those that visited its data")
    def list_jobs(caller: Caller = who) -> dict[str, Any]:
        return {"jobs": [_told(job) for job in jobs.list(caller.looks())]}

    @found.get("/jobs/{name}", summary="A job, to its consumer and to the provider of its data")
    def get(name: str, caller: Caller = who) -> dict[str, Any]:
        job = jobs.get(name)
        if job is None or caller.looks() not in (job.consumer, job.provider):
            raise NotShared
        return _told(job)

    @found.post("/jobs/{name}:cancel", summary="End a job")
    def cancel(name: str, caller: Caller = who) -> dict[str, Any]:
        house.cancel(_own(name, caller))
        return _told(_own(name, caller))

    @found.get("/jobs/{name}/result", summary="A released job's arrays, as a NumPy archive without objects")
    def result(name: str, caller: Caller = who) -> dict[str, Any]:
        content = house.result(_own(name, caller), caller.purpose)
        return {"sha256": hashlib.sha256(content).hexdigest(), "npz_base64": base64.b64encode(content).decode()}

    def _told(job: Job) -> dict[str, Any]:
        """Return a job; what was made of the data is told as long as they are shared."""
        told = job.as_json()
        entry = room.register.get(job.agreement, job.provider)
        if job.lineage is not None and (entry.revoked_s or now_s() >= entry.agreement.terms.valid_until_s):
            told["lineage"] = {name: value for name, value in job.lineage.items() if name != "metrics"}
        return told

    def _own(name: str, caller: Caller) -> Job:
        job = jobs.get(name)
        if job is None or caller.takes() != job.consumer:
            raise NotShared
        return job

    return found


def _invalid(error: InvalidAlgorithm) -> PalaestraError:
    field = str(error).partition(":")[0]
    return PalaestraError("INVALID_FIELD", str(error), metadata={"field": field})
