"""What a request's body may be: strict JSON, an object of known fields."""

from starlette.requests import Request

from palaestra.errors import PalaestraError
from sharing.document import BadDocument, parse
from web.bounds import BODY_BYTES


async def json_body(request: Request) -> object:
    """Return a request's body, strict JSON. For `Depends`. Raises INVALID_FIELD."""
    try:
        return parse(await request.body(), max_bytes=BODY_BYTES)
    except BadDocument as error:
        raise PalaestraError("INVALID_FIELD", f"body: {error}", metadata={"field": "body"}) from None


def fields_of(body: object, *required: str, optional: tuple[str, ...] = ()) -> list[object]:
    """Return the values of a body's fields in order, None for an optional one that is not there.

    Raises INVALID_FIELD for a body that is no object, a field that is missing, and one that is not known.
    """
    if not isinstance(body, dict):
        raise PalaestraError("INVALID_FIELD", "body: must be a JSON object", metadata={"field": "body"})
    for name in required:
        if name not in body:
            raise PalaestraError("INVALID_FIELD", f"{name}: is missing", metadata={"field": name})
    if unknown := sorted(set(body) - {*required, *optional}):
        name = str(unknown[0])[:100]
        raise PalaestraError("INVALID_FIELD", f"{name}: there is no such field", metadata={"field": name})
    return [body.get(name) for name in (*required, *optional)]


def text_of(name: str, value: object, *, most: int = 1_000) -> str:
    """Return a field's value that must be text. Raises INVALID_FIELD."""
    if not isinstance(value, str) or len(value) > most:
        raise PalaestraError("INVALID_FIELD", f"{name}: must be text of at most {most}", metadata={"field": name})
    return value
