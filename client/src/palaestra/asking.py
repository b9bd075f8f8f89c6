"""Questions about another vendor's data, and algorithms that visit it: what `client.sharing` offers without bytes."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from palaestra.errors import PalaestraError
from palaestra.web import Web, quoted

_ROOT = "/sharing/v1"
_PURPOSE = "Palaestra-Purpose"
PATIENCE_S = 600.0
"""How long an answer may take [s]: before the first one to an agreement its data are written anew."""


class Asking:
    """Part of `palaestra.sharing.Sharing`."""

    _web: Web

    def _whole(self, collection: str, name: str, digits: int) -> str:
        raise NotImplementedError

    def ask(self, agreement: str, question: Mapping[str, Any], *, purpose: str = "") -> dict[str, Any]:
        """Return the answer to a question: numbers with noise, and what is left of the budget.

        The same question again is free and gets the same answer. docs/aggregates.md says what can be asked.

        Raises:
            PalaestraError: BUDGET_EXHAUSTED, INVALID_FIELD, NOT_FOUND.
        """
        body = {"agreement": self._whole("agreements", agreement, 64), "question": dict(question)}
        return self._web.call(
            "POST", f"{_ROOT}/aggregates", body, headers=purpose_header(purpose), timeout_s=PATIENCE_S
        )

    def budget(self, agreement: str, *, purpose: str = "") -> dict[str, Any]:
        """Return `budget_millionths`, `spent_millionths` and `left_millionths` of epsilon, to the consumer."""
        whole = self._whole("agreements", agreement, 64)
        return self._web.call("GET", f"{_ROOT}/budgets/{quoted(whole)}", headers=purpose_header(purpose))

    def spent(self) -> list[dict[str, Any]]:
        """Return what was spent by the vendor, and by others of its data sets."""
        return list(self._web.call("GET", f"{_ROOT}/budgets")["spent"])

    def algorithms(self, agreement: str = "") -> dict[str, Any]:
        """Return what may visit: by an agreement what its provider allows, else what the vendor itself allows."""
        whole = self._whole("agreements", agreement, 64) if agreement else ""
        return self._web.call("GET", f"{_ROOT}/algorithms", query={"agreement": whole})

    def approve(self, name: str, source: str = "", outputs: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Let an algorithm visit the vendor's data, under those of its agreements that have the channel `compute`.

        Args:
            name: Of a built-in one; or any, with `source`.
            source: A Python file with the functions `train` and `losses`.
            outputs: What may leave: `{"arrays": {"weights": ["float32", 1000]}, "metrics": ["loss"]}`.
        """
        body = {"name": name} | ({"source": source, "outputs": dict(outputs or {})} if source else {})
        return self._web.call("POST", f"{_ROOT}/algorithms", body)

    def withdraw(self, sha256: str) -> dict[str, Any]:
        """Let an algorithm visit no more; its jobs end."""
        return self._web.call("POST", f"{_ROOT}/algorithms/{quoted(sha256)}:withdraw")

    def compute(
        self,
        agreement: str,
        algorithm: str,
        parameters: Mapping[str, str | int] | None = None,
        *,
        version: int = 0,
        purpose: str = "",
    ) -> dict[str, Any]:
        """Have an allowed algorithm visit the data of an agreement; return the job, queued."""
        body = {
            "agreement": self._whole("agreements", agreement, 64),
            "algorithm": algorithm,
            "parameters": dict(parameters or {}),
            "version": version,
        }
        return self._web.call("POST", f"{_ROOT}/jobs", body, headers=purpose_header(purpose))

    def visits(self) -> list[dict[str, Any]]:
        """Return the vendor's compute jobs, and those that visited its data, the newest first."""
        return list(self._web.call("GET", f"{_ROOT}/jobs")["jobs"])

    def visit(self, job: str) -> dict[str, Any]:
        """Return a compute job."""
        return self._web.call("GET", f"{_ROOT}/jobs/{quoted(job)}")

    def cancel_visit(self, job: str) -> dict[str, Any]:
        """End a compute job."""
        return self._web.call("POST", f"{_ROOT}/jobs/{quoted(job)}:cancel")

    def result(self, job: str, *, purpose: str = "") -> bytes:
        """Return a released job's arrays, checked: a NumPy archive, to load with `allow_pickle=False`."""
        said = self._web.call("GET", f"{_ROOT}/jobs/{quoted(job)}/result", headers=purpose_header(purpose))
        content = base64.b64decode(str(said["npz_base64"]))
        if hashlib.sha256(content).hexdigest() != said["sha256"]:
            raise PalaestraError("INTERNAL", "the result is not what its hash says")
        return content


def purpose_header(purpose: str) -> dict[str, str]:
    """Return the header that says what something is asked for; none: training."""
    return {_PURPOSE: purpose} if purpose else {}
