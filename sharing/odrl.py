"""Terms as ODRL policies (W3C ODRL Information Model 2.2), and back, over the part of it that terms need.

Purpose, recipient and dateTime are ODRL's own operands; what ODRL has no word for (columns, channels, versions,
transforms, embargo, privacy budget) is under the prefix `palaestra:`. A policy with anything else in it is refused:
who drops a constraint that it does not know gives more than was offered.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sharing.errors import InvalidTerms
from sharing.terms import Duty, Terms

CONTEXT = [
    "http://www.w3.org/ns/odrl.jsonld",
    {"palaestra": "urn:palaestra:odrl:", "xsd": "http://www.w3.org/2001/XMLSchema#"},
]
PROFILE = "urn:palaestra:odrl:1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LISTS = {
    "purpose": "purposes",
    "palaestra:column": "columns",
    "palaestra:channel": "channels",
}
_DUTIES = {"delete": Duty.DELETE_AT_END, "inform": Duty.REPORT_USE, "attribute": Duty.ATTRIBUTE}
_BOUNDS = {
    ("dateTime", "gteq"): "valid_from_s",
    ("dateTime", "lt"): "valid_until_s",
    ("palaestra:embargo", "gteq"): "embargo_until_s",
    ("palaestra:version", "gteq"): "first_version",
    ("palaestra:version", "lteq"): "last_version",
    ("palaestra:privacyMillionths", "lteq"): "privacy_millionths",
    ("palaestra:priceMicrocredits", "eq"): "price_microcredits",
}


def to_odrl(terms: Terms, kind: Literal["Offer", "Agreement"] = "Offer") -> dict[str, Any]:
    """Return the policy of terms; `from_odrl` gives the same terms again."""
    plain = terms.as_json()
    constraints = [_constraint("recipient", "eq", terms.consumer)]
    constraints += [_constraint(operand, "isAnyOf", plain[field]) for operand, field in _LISTS.items()]
    for (operand, operator), field in _BOUNDS.items():
        value = plain.get(field, 0)
        if value or field in ("valid_from_s", "valid_until_s"):
            timed = field.endswith("_s")
            constraints.append(_constraint(operand, operator, _time(value) if timed else value))
    if plain["transforms"]:
        constraints.append(_constraint("palaestra:transform", "eq", plain["transforms"]))
    permission: dict[str, Any] = {"action": "use", "constraint": constraints}
    if duties := [{"action": action} for action, duty in _DUTIES.items() if duty in terms.duties]:
        permission["duty"] = duties
    policy: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": kind,
        "@id": f"urn:palaestra:terms:{terms.digest()}",
        "profile": PROFILE,
        "assigner": terms.provider,
        "assignee": terms.consumer,
        "target": terms.data_set,
        "permission": [permission],
    }
    if Duty.NO_REDISTRIBUTION in terms.duties:
        policy["prohibition"] = [{"action": "distribute"}]
    if terms.note:
        policy["palaestra:note"] = terms.note
    return policy


def from_odrl(policy: object) -> Terms:
    """Return the terms of a policy. Raises InvalidTerms, which names what it does not know or what is missing."""
    found = _object("policy", policy, {"@type", "assigner", "assignee", "target", "permission"}, _MORE)
    if found["@type"] not in ("Offer", "Agreement"):
        raise InvalidTerms("policy.@type: must be Offer or Agreement")
    if found.get("profile", PROFILE) != PROFILE:
        raise InvalidTerms(f"policy.profile: must be {PROFILE}")
    plain: dict[str, Any] = {
        "provider": found["assigner"],
        "consumer": found["assignee"],
        "data_set": found["target"],
        "note": found.get("palaestra:note", ""),
    }
    permission = _object("permission", _only("permission", found["permission"]), {"action", "constraint"}, {"duty"})
    if permission["action"] != "use":
        raise InvalidTerms("permission.action: must be use")
    for one in _list("constraint", permission["constraint"]):
        for field, value in _read(one).items():
            if field in plain and field != "consumer":
                raise InvalidTerms(f"constraint: {field} is said twice")
            if field == "consumer" and value != plain["consumer"]:
                raise InvalidTerms("constraint.recipient: is not the assignee")
            plain[field] = value
    duties = [_action("duty", one) for one in _list("duty", permission.get("duty", []))]
    if unknown := sorted(set(duties) - set(_DUTIES)):
        raise InvalidTerms(f"duty: {unknown[0][:100]} is none of {', '.join(_DUTIES)}")
    plain["duties"] = [str(_DUTIES[action]) for action in duties]
    prohibitions = [_action("prohibition", one) for one in _list("prohibition", found.get("prohibition", []))]
    if set(prohibitions) - {"distribute"}:
        raise InvalidTerms("prohibition: distribute alone is known")
    if prohibitions:
        plain["duties"].append(str(Duty.NO_REDISTRIBUTION))
    terms = Terms.of(plain)
    named = found.get("@id", "")
    if isinstance(named, str) and named.startswith("urn:palaestra:terms:") and not named.endswith(terms.digest()):
        raise InvalidTerms("policy.@id: is the digest of other terms")
    return terms


_MORE = {"@context", "@id", "profile", "prohibition", "palaestra:note"}


def _constraint(operand: str, operator: str, value: object) -> dict[str, Any]:
    return {"leftOperand": operand, "operator": operator, "rightOperand": value}


def _read(constraint: object) -> dict[str, Any]:
    """Return what one constraint says, by the terms' fields."""
    found = _object("constraint", constraint, {"leftOperand", "operator", "rightOperand"}, set())
    operand, operator, value = found["leftOperand"], found["operator"], found["rightOperand"]
    if not isinstance(operand, str) or not isinstance(operator, str):
        raise InvalidTerms("constraint: operands and operators are texts")
    if operand in _LISTS and operator in ("isAnyOf", "eq"):
        return {_LISTS[operand]: value if operator == "isAnyOf" else [value]}
    if (operand, operator) == ("recipient", "eq"):
        return {"consumer": value}
    if (operand, operator) == ("palaestra:transform", "eq"):
        return {"transforms": value}
    field = _BOUNDS.get((operand, operator))
    if field is None:
        raise InvalidTerms(f"constraint: {operand[:100]} {operator[:20]} is not known")
    return {field: _seconds(value) if field.endswith("_s") else value}


def _time(at_s: int) -> dict[str, str]:
    text = (_EPOCH + timedelta(seconds=at_s)).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")
    return {"@value": text, "@type": "xsd:dateTime"}


def _seconds(value: object) -> int:
    text = value.get("@value") if isinstance(value, Mapping) else value
    try:
        if not isinstance(text, str) or len(text) > 40:
            raise ValueError(text)
        when = datetime.fromisoformat(text)
        if when.tzinfo is None or when.microsecond:
            raise ValueError(text)
        return (when - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        raise InvalidTerms("constraint.dateTime: must be such as 2026-12-01T00:00:00Z, in whole seconds") from None


def _object(what: str, value: object, needed: set[str], more: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidTerms(f"{what}: must be an object")
    if missing := sorted(needed - set(value)):
        raise InvalidTerms(f"{what}.{missing[0]}: is missing")
    if unknown := sorted(set(value) - needed - more):
        raise InvalidTerms(f"{what}.{str(unknown[0])[:100]}: is not known")
    return value


def _list(what: str, value: object) -> list[Any]:
    """Return one or several, which JSON-LD writes alike."""
    found = value if isinstance(value, list) else [value]
    if len(found) > 100:
        raise InvalidTerms(f"{what}: more than 100")
    return found


def _only(what: str, value: object) -> object:
    found = _list(what, value)
    if len(found) != 1:
        raise InvalidTerms(f"{what}: there must be one")
    return found[0]


def _action(what: str, value: object) -> str:
    action = _object(what, value, {"action"}, set())["action"]
    if not isinstance(action, str):
        raise InvalidTerms(f"{what}.action: must be text")
    return action
