"""Resource names, made and taken apart in one place."""

from scheduler.health import VENUE_VENDOR


def vendor(vendor_id: str) -> str:
    return f"vendors/{vendor_id}"


def job(vendor_id: str, uid: str) -> str:
    return f"vendors/{vendor_id}/jobs/{uid}"


def job_array(vendor_id: str, uid: str) -> str:
    return f"vendors/{vendor_id}/jobArrays/{uid}"


def attempt(vendor_id: str, uid: str, number: int) -> str:
    return f"vendors/{vendor_id}/jobs/{uid}/attempts/{number}"


def lease(vendor_id: str, uid: str) -> str:
    return f"vendors/{vendor_id}/leases/{uid}"


def episode(vendor_id: str, uid: str) -> str:
    return f"vendors/{vendor_id}/episodes/{uid}"


def unit(venue_id: str, unit_id: str) -> str:
    return f"venues/{venue_id}/units/{unit_id}"


def cell(venue_id: str, cell_id: str) -> str:
    return f"venues/{venue_id}/cells/{cell_id}"


def slot(venue_id: str, slot_id: str) -> str:
    return f"venues/{venue_id}/simSlots/{slot_id}"


def reservation(vendor_id: str, uid: str) -> str:
    return f"vendors/{vendor_id}/reservations/{uid}"


def closure(venue_id: str, uid: str) -> str:
    return f"venues/{venue_id}/closures/{uid}"


def api_key(venue_id: str, vendor_id: str, uid: str) -> str:
    """Return the name of a vendor's key; of the house's own, for the venue's own vendor."""
    return f"venues/{venue_id}/apiKeys/{uid}" if vendor_id == VENUE_VENDOR else f"vendors/{vendor_id}/apiKeys/{uid}"


def api_key_prefix(uid: str) -> str:
    """Return what every secret of a key starts with."""
    return f"pal_{uid}_"


def parts(name: str) -> tuple[str, str]:
    """Return (owner id, own id) of a two-level name; the contract's patterns have checked its form."""
    pieces = name.split("/")
    return pieces[1], pieces[3]


def attempt_parts(name: str) -> tuple[str, str, int]:
    """Return (vendor id, job uid, number) of an attempt's name. A number that no attempt can have becomes 0."""
    pieces = name.split("/")
    digits = pieces[5]
    return pieces[1], pieces[3], int(digits) if len(digits) < 10 else 0
