"""The registry of error reasons as a page for people: `python -m scheduler.registry > docs/errors.md`."""

from palaestra.errors import REASONS, PalaestraError, Reason, http_status

HEAD = """\
# Errors

Every error that a Palaestra process answers with carries a reason from this registry, in `google.rpc.ErrorInfo` with
domain `palaestra.dev`; where trying again makes sense, `google.rpc.RetryInfo` says when. The registry is
`ErrorReason` in `proto/palaestra/v1/errors.proto`; this page is printed from it by `python -m scheduler.registry`.

| reason | gRPC status | HTTP | what happened, and what to do |
|---|---|---|---|
"""


def markdown() -> str:
    """Return the page."""
    return HEAD + "".join(_row(reason) for reason in sorted(REASONS.values(), key=lambda reason: reason.name))


def _row(reason: Reason) -> str:
    http = http_status(PalaestraError(reason.name, ""))
    return f"| `{reason.name}` | {reason.code.name} | {http} | {reason.help} |\n"


if __name__ == "__main__":
    print(markdown(), end="")
