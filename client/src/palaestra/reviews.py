"""The review of pictures before they leave, for their provider: `client.sharing.reviews`.

```
made = client.sharing.reviews.prepare(agreement)      # again until made["state"] is no longer "making"
review = made["review"]
Path("front.jpg").write_bytes(client.sharing.reviews.sheet(review, "observation.images.front"))
client.sharing.reviews.approve(review["review"])
```
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from palaestra.errors import PalaestraError
from palaestra.web import Web, quoted

_ROOT = "/sharing/v1/reviews"


class Reviews:
    """Looks at pictures as they would leave, and approves or refuses them. Raises PalaestraError as every method.

    A review is named by the hash of all its pictures: who approves it approves just these.
    """

    def __init__(self, web: Web) -> None:
        self._web = web

    def prepare(self, agreement: str, *, version: int = 0) -> dict[str, Any]:
        """Have an agreement's pictures made, of a version or the newest that is granted; tell how far that is.

        Returns:
            `state`: making, failed or made; `why` it failed; and the `review` once they are made.
        """
        return self._web.call("POST", _ROOT, {"agreement": agreement, "version": version})

    def list(self) -> Iterator[dict[str, Any]]:
        """Yield the reviews of the vendor's pictures; those of all for operators."""
        after = ""
        while True:
            page = self._web.call("GET", _ROOT, query={"after": after, "size": 200})
            yield from page["reviews"]
            after = page.get("next", "")
            if not after:
                return

    def get(self, name: str) -> dict[str, Any]:
        """Return a review: `report`, `sheets`, `state`, and who decided when. Its first digits are enough."""
        return self._web.call("GET", f"{_ROOT}/{quoted(self._whole(name))}")

    def sheet(self, review: Mapping[str, Any], camera: str) -> bytes:
        """Return the contact sheet of a camera, a JPEG; another than the review's raises INTERNAL."""
        (wanted,) = (one["sha256"] for one in review["sheets"] if one["camera"] == camera)
        found = self._web.fetch(f"{_ROOT}/{quoted(review['review'])}/sheets/{quoted(camera)}")
        if hashlib.sha256(found).hexdigest() != wanted:
            raise PalaestraError("INTERNAL", f"{camera}: the venue sent another picture than the review's")
        return found

    def approve(self, name: str) -> dict[str, Any]:
        """Let the pictures leave, for good while the agreement stands. Needs the vendor's own token."""
        return self._web.call("POST", f"{_ROOT}/{quoted(self._whole(name))}:approve")

    def refuse(self, name: str, reason: str = "") -> dict[str, Any]:
        """Let the pictures never leave. Needs the vendor's own token, or an operator's."""
        return self._web.call("POST", f"{_ROOT}/{quoted(self._whole(name))}:refuse", {"reason": reason})

    def _whole(self, name: str) -> str:
        """Return the whole name of a review by its first digits. Raises NOT_FOUND, INVALID_FIELD for two such."""
        if len(name) == 64:
            return name
        found = [one["review"] for one in self.list() if name and one["review"].startswith(name)]
        if len(found) > 1:
            raise PalaestraError("INVALID_FIELD", f"{name}: {len(found)} reviews begin so")
        if not found:
            raise PalaestraError("NOT_FOUND", f"{name}: no review begins so")
        return str(found[0])
