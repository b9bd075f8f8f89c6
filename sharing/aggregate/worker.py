"""The process that answers a question: `python -m sharing.aggregate.worker`. Exact results never leave it."""

import json
import os
import sys
from pathlib import Path

from sharing.aggregate.engine import Engine
from sharing.aggregate.facts import facts_of
from sharing.aggregate.field import field_of
from sharing.aggregate.number import Bounds
from sharing.aggregate.question import Question
from sharing.aggregate.release import Known, released
from sharing.confined import fence
from sharing.confined.data import Data

# DuckDB asks how much memory and time its control group may take, and ends the process if it may not ask.
ENGINE_READS = (Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))


def main() -> int:
    """Answer the question on standard input. Returns the exit code."""
    told = json.load(sys.stdin)
    out = os.dup(1)
    os.dup2(2, 1)
    fence.stand(fence.Limits(**told["limits"]), told["size_bytes"], ENGINE_READS)
    question = Question.of(told["question"])
    known = Known(
        {field_of(name): Bounds.parse(text) for name, text in told["bounds"].items()},
        {field_of(name): tuple(values) for name, values in told["values"].items()},
    )
    data = Data(told["descriptor"], told["size_bytes"], told["files"])
    engine = Engine(facts_of(data, question.fields))
    answer = json.dumps(released(question, known, engine.rows), allow_nan=False).encode()
    while answer:
        answer = answer[os.write(out, answer) :]
    return 0


if __name__ == "__main__":
    sys.exit(main())
