"""What a credential opens, looked up by name: each answer comes by the gate, and each address it gives is noted."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from palaestra.errors import PalaestraError
from sharing.delta.actions import Link, Moment
from sharing.delta.changes import VERSIONS_MAX, Change, changes
from sharing.delta.history import History, refuse
from sharing.delta.names import folded
from sharing.delta.offers import Offer, Offers
from sharing.delta.recipients import Recipient, Recipients
from sharing.delta.secret import Address, Secret
from sharing.delta.table import SharedFile, SharedTable
from sharing.errors import NotShared
from sharing.grant import Ask, Grant
from sharing.room import Room
from sharing.terms import Channel

URL_LIFETIME_S = 300
ROOT = "/delta-sharing"
FILES = f"{ROOT}/files"


@dataclass(frozen=True)
class Place:
    """A table's name in a request: share, schema, table as they were sent."""

    share: str
    schema: str
    table: str = ""


class Shares:
    """The one way from names to tables and files. Safe from any thread."""

    def __init__(self, room: Room, *, url_lifetime_s: int = URL_LIFETIME_S) -> None:
        self._room = room
        self._url_lifetime_s = min(url_lifetime_s, URL_LIFETIME_S)
        self.secret = Secret.of(room.folder / "delta.key")
        self.recipients = Recipients(room.database, room.gate, room.witness, room.clock)
        self.history = History(room.catalogue)
        self._offers = Offers(room.projector.project, self.secret)

    def recipient(self, secret: str) -> Recipient:
        """Return whose a secret is. Raises BAD_TOKEN, the same for nobody's and for one that has ended."""
        found = self.recipients.of_secret(secret)
        if found is None or not found.is_good(self._room.clock.now_s()):
            raise PalaestraError("BAD_TOKEN", "not a credential, or no longer one")
        return found

    # Listings.

    def schemas(self, of: Recipient) -> dict[str, dict[str, str]]:
        """Return agreements by schema by share, those alone that grant something now."""
        found: dict[str, dict[str, str]] = {}
        for (share, schema), agreement in sorted(of.opens.items()):
            try:
                self._grant(of, agreement, 0, f"{share}.{schema}")
            except NotShared:
                continue
            found.setdefault(share, {})[schema] = agreement
        return found

    def share(self, of: Recipient, share: str) -> dict[str, str]:
        """Return a share's agreements by schema. Raises NotShared."""
        found = self.schemas(of).get(folded(share))
        if not found:
            self._nothing(of, share)
        return found

    def tables(self, of: Recipient, share: str, schema: str) -> Sequence[SharedTable]:
        """Return a schema's tables as of the newest version, by name. Raises NotShared, NotReady."""
        offer = self._offer(of, Place(share, schema), 0)
        return [table for _, table in sorted(offer.tables.items())]

    # Tables.

    def version(self, of: Recipient, place: Place, *, time_s: float | None = None) -> int:
        """Return the newest version of a table, or the oldest that was made at a time or later."""
        grant, _ = self.table(of, place)
        if time_s is None:
            return grant.version
        wanted = self.history.since(grant.data_set, time_s)
        first = self._first(of, grant)
        return self.table(of, place, max(wanted, first))[0].version

    def table(
        self, of: Recipient, place: Place, version: int = 0, *, time_s: float | None = None
    ) -> tuple[Grant, SharedTable]:
        """Return a table and the grant under which it can be had. Raises NotShared, NotReady.

        Args:
            version: 0 means the newest that is granted.
            time_s: The newest version that was there at this time [s since 1970], instead.
        """
        if time_s is not None:
            newest = self._grant_at(of, place, 0)
            version = min(newest.version, self.history.at(newest.data_set, time_s))
        offer = self._offer(of, place, version)
        return offer.grant, offer.table(folded(place.table))

    def moment(self, grant: Grant) -> Moment:
        """Return when a grant's version was made."""
        return Moment(grant.version, self.history.made_s(grant.data_set, grant.version) * 1_000)

    def changes(
        self, of: Recipient, place: Place, first: int, last: int | None
    ) -> tuple[tuple[Grant, SharedTable], list[tuple[Change, Grant]]]:
        """Return the table as of the last version asked for, and what changed in each from the first on.

        The first version that is granted changes nothing before it: all its files came with it.
        """
        newest, _ = self.table(of, place)
        if first > newest.version:
            raise NotShared
        last = newest.version if last is None else min(last, newest.version)
        if last < first:
            refuse("endingVersion", "must not be before startingVersion")
        if last - first >= VERSIONS_MAX:
            refuse("endingVersion", f"must be less than {VERSIONS_MAX} versions after startingVersion")
        grants: dict[int, Grant] = {}
        tables: list[tuple[int, SharedTable | None]] = []
        for version in range(first - 1, last + 1):
            try:
                # To the gate 0 is the newest.
                offer = self._offer(of, place, version) if version else None
            except NotShared:
                if version >= first:
                    raise
                offer = None
            if offer is None:
                tables.append((version, None))
                continue
            grants[version] = offer.grant
            tables.append((version, offer.tables.get(folded(place.table))))
        table = next((table for _, table in reversed(tables) if table is not None), None)
        if table is None:
            raise NotShared
        return (grants[last], table), [(change, grants[change.held]) for change in changes(tables)]

    def first_at(self, of: Recipient, place: Place, time_s: float) -> int:
        """Return the first granted version that was made at a time or later. Raises NotShared."""
        return self.version(of, place, time_s=time_s)

    def last_at(self, of: Recipient, place: Place, time_s: float) -> int:
        """Return the last granted version that was there at a time. Raises NotShared."""
        return self.table(of, place, time_s=time_s)[0].version

    # Addresses.

    def links(self, of: Recipient, table: str, files: Sequence[tuple[SharedFile, Grant]]) -> list[Link]:
        """Return addresses of files, good for a while, and have it noted who got them before anybody has."""
        if not files:
            return []
        now_s, root = int(self._room.clock.now_s()), f"{self._room.address}{FILES}"
        made = []
        for file, grant in files:
            expires_s = min(now_s + self._url_lifetime_s, of.expires_s, grant.until_s)
            address = Address(of.id, grant.agreement, grant.epoch, grant.version, table, file.id, expires_s)
            url = f"{root}/{address.path()}?{address.query(self.secret)}"
            made.append(Link(file, url, expires_s * 1_000))
        grant = files[-1][1]
        self._room.witness.note(
            "addresses",
            {
                "provider": grant.provider,
                "consumer": grant.consumer,
                "agreement": grant.agreement,
                "version": grant.version,
                "recipient": of.id,
                "table": table,
                "files": len(files),
                "size_bytes": sum(file.size_bytes for file, _ in files),
                # Of the ids, one a line, so that it can be shown later which files these were.
                "files_sha256": hashlib.sha256("".join(f"{file.id}\n" for file, _ in files).encode()).hexdigest(),
            },
        )
        return made

    def opened(self, path: str, expires: str, signature: str, bearer: str | None) -> "Opened":
        """Return the file of an address. Raises NotShared, the same for whatever is wrong with it; NotReady.

        bearer: A credential's secret, if one came along: then it has to be the one that got the address.
        """
        address = _address(path, expires)
        # First of all, so that nobody learns anything by trying.
        if not self.secret.holds(signature, "file", address.path(), address.expires_s):
            raise NotShared
        if self._room.clock.now_s() >= address.expires_s:
            raise NotShared
        recipient = self.recipients.standing(address.recipient)
        if bearer is not None:
            other = self.recipients.of_secret(bearer)
            if other is None or other.id != recipient.id:
                raise NotShared
        offer = self._offers.kept(address.agreement, address.epoch, address.version, str(recipient.purpose))
        if offer is None:
            # After a restart, or when much else was read meanwhile.
            offer = self._offers.ready(self._grant(recipient, address.agreement, address.version, "file"))
        if offer.grant.epoch != address.epoch or offer.grant.consumer != recipient.consumer:
            raise NotShared
        self._room.gate.still(offer.grant)
        file = offer.table(folded(address.table)).by_id.get(address.file)
        if file is None:
            raise NotShared
        return Opened(self._room, self.recipients, recipient, offer.grant, address.table, file)

    # One decision for each question.

    def _first(self, of: Recipient, grant: Grant) -> int:
        entry = self._room.register.get(grant.agreement, of.consumer)
        return entry.agreement.terms.first_version

    def _offer(self, of: Recipient, place: Place, version: int) -> Offer:
        return self._offers.ready(self._grant_at(of, place, version))

    def _grant_at(self, of: Recipient, place: Place, version: int) -> Grant:
        agreement = of.opens.get((folded(place.share), folded(place.schema)))
        about = f"{place.share[:80]}.{place.schema[:80]}.{place.table[:80]}"
        # What is not there is asked for as well: it takes as long, and it is noted.
        return self._grant(of, agreement or "", version, about)

    def _grant(self, of: Recipient, agreement: str, version: int, about: str) -> Grant:
        ask = Ask(of.consumer, agreement, Channel.DELTA, of.purpose, version=version, about=about)
        return self._room.gate.authorize(ask)

    def _nothing(self, of: Recipient, share: str) -> NoReturn:
        self._grant(of, "", 0, share[:80])
        raise NotShared


@dataclass(frozen=True)
class Opened:
    """A file that may be read now; each piece asks anew whether it still may."""

    room: Room
    recipients: Recipients
    recipient: Recipient
    grant: Grant
    table: str
    file: SharedFile

    def read(self, begin: int, size_bytes: int) -> bytes:
        """Return bytes. Raises NotShared as soon as the credential or the agreement has ended."""
        self.recipients.still(self.recipient.id)
        self.room.gate.still(self.grant)
        return self.room.projector.read(self.file.file, begin, size_bytes)

    def note(self, begin: int, size_bytes: int) -> None:
        """Have it noted that these bytes go out: before the first of them does, so that none goes unnoted."""
        self.room.witness.note(
            "bytes",
            {
                "provider": self.grant.provider,
                "consumer": self.grant.consumer,
                "agreement": self.grant.agreement,
                "version": self.grant.version,
                "recipient": self.recipient.id,
                "table": self.table,
                "file": self.file.id,
                "begin": begin,
                "size_bytes": size_bytes,
            },
        )


def _address(path: str, expires: str) -> Address:
    """Return what an address says, not yet believed. Raises NotShared."""
    parts = path.removesuffix(".parquet").split("/")
    if len(path) > 1_024 or len(parts) != 6 or not path.endswith(".parquet"):
        raise NotShared
    recipient, agreement, epoch, version, table, file = parts
    numbers = (epoch, version, expires)
    if not all(number.isascii() and number.isdigit() and len(number) <= 15 for number in numbers):
        raise NotShared
    return Address(recipient, agreement, int(epoch), int(version), table, file, int(expires))
