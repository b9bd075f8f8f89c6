"""Texts without what names people, places, things, files and times: rules for what has a form, words for what has none.

A rule errs on the side of taking too much: `pick the red cube twice` stays as it is, `rig 7F3K-2291` does not. What has
no form, such as a person's name in the middle of a sentence, only the words find, which the venue gives: the names of
its vendors, units, cells and people.

The time is proportional to the text, whoever made it up: a rule that begins with a run of characters takes the run
once, whole (`++` gives nothing back), and then says whether it was one: tried again from each of its characters, a long
run would be read as often as it is long.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

_UNSEEN = {"Cc", "Co", "Cs"}
_DECIMAL = r"[-+]?\d{1,3}[.,]\d{3,}"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_ORDINAL = r"\d{1,2}(?:st|nd|rd|th)?"
_CLOCK = r"\d{1,2}[:.h]?\d{2}(?:[:.]?\d{2}(?:[.,]\d+)?)?"
_SUFFIXES = (
    "bag|mcap|hdf5|h5|parquet|db3|csv|json|ya?ml|mp4|avi|mkv|png|jpe?g|txt|log|zip|tar|gz|npz?|xml|urdf|py|pdf|docx?"
)
_PEOPLE = r"operator|(?:tele)?operated by|recorded by|annotated by|filmed by|author|user(?:name)?|supervisor"
_RULES = [
    ("address", r"[\w.+%-]++(?P<hit>\s?@\s?[\w-]+(?:\.[\w-]+)*)?"),
    ("path", r"\b[a-z][a-z0-9+.-]{1,15}://\S+"),
    ("path", r"(?:\b[a-z]:|\\\\|~|(?<!\w)\.{1,2}|(?<![\w.]))(?:[\\/][^\s\\/:*?\"<>|,;]+)+[\\/]?|\b[a-z]:[\\/]\S*"),
    ("path", r"[\w.-]++(?P<hit>(?:[\\/][\w.-]++){2,}[\\/]?)?"),
    ("path", rf"[\w-]++(?P<hit>\.(?:{_SUFFIXES})\b)?"),
    # Before what would take a part of them and leave the rest.
    ("address", r"\b(?:[0-9a-f]{2}[:-]){3,7}[0-9a-f]{2}\b|\b\d{1,3}(?:\.\d{1,3}){3}\b"),
    ("time", rf"\b\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}(?:[t _]{_CLOCK})?\s?(?:z\b|utc\b|[+-]\d{{2}}:?\d{{2}})?"),
    ("time", r"\b\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})\b"),
    # Degrees, minutes, seconds; pairs of decimal degrees; one decimal number with the precision of a place.
    ("place", r"\d{1,3}\s?[°º]\s?(?:\d{1,2}(?:\.\d+)?\s?['′’]\s?)?(?:\d{1,2}(?:\.\d+)?\s?[\"″”]?\s?)?[nsew]?\b"),
    ("place", rf"{_DECIMAL}\s?[°º]?\s?[nsew]?\s?[,;/ ]\s?{_DECIMAL}\s?[°º]?\s?[nsew]?"),
    ("place", r"\b(?:lat|lon|lng|latitude|longitude|gps)[a-z]*\s?[:=]?\s?[-+]?\d[\d.,]*"),
    ("place", r"[-+]?\b\d{1,3}\.\d{4,}\b"),
    ("time", rf"\b{_ORDINAL}\.?\s?{_MONTH}\.?,?\s?\d{{2,4}}\b|\b{_MONTH}\.?\s{_ORDINAL},?\s\d{{4}}\b"),
    ("time", r"\d{4}\s?年(?:\s?\d{1,2}\s?月)?(?:\s?\d{1,2}\s?日)?"),
    ("time", r"\b\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s?(?:am|pm)?\b|\b\d{1,2}\s?(?:am|pm)\b"),
    ("address", r"\b(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{1,4}\b"),
    ("person", rf"\b(?:{_PEOPLE})\b\s?[:=]?\s?\w[\w.'’-]*(?:\s(?-i:[A-Z])[\w.'’-]*){{0,2}}"),
    (
        "number",
        r"\b(?:s/?n|serial(?:\s(?:no|number|nr))?|asset|badge|imei|mac)\b\.?\s?[:=#]{0,8}\s?[\w-]{0,40}\d[\w-]*",
    ),
    # Letters and digits together, and long runs of digits: serial numbers, hashes, telephone numbers, epochs.
    ("number", r"(?P<token>[\w-]{5,}+)"),
    ("number", r"\+?\d(?:[ ()./-]{0,2}\d){6,}"),
    ("number", r"\d{4,}"),
]
_LETTER, _DIGIT = re.compile(r"[a-z]", re.IGNORECASE), re.compile(r"\d")
_COMPILED = [(kind, re.compile(rule, re.IGNORECASE)) for kind, rule in _RULES]
MAX_CHARACTERS = 4_000
"""Longer texts are cut: no rule may take long over what somebody made up for it."""


@dataclass(frozen=True)
class Scrubbed:
    """A text as it may leave, and of what kinds something was taken."""

    text: str
    taken: tuple[str, ...]


class Scrubber:
    """Takes names, places, things, files and times out of texts."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        """Words: Names that have no form, in any spelling of case, hyphens and spaces; the shortest are left out."""
        found = {plain(word).strip() for word in words}
        parts = [re.split(r"[\s_.-]+", word) for word in found if len(word) >= (3 if word.isascii() else 2)]
        # The longest first: of `acme` and `acme-labs` the whole goes.
        rules = sorted((r"[\s_.-]*".join(map(re.escape, part)) for part in parts), key=len, reverse=True)
        self._words = re.compile(rf"(?<![a-z0-9])(?:{'|'.join(rules)})(?![a-z0-9])", re.IGNORECASE) if rules else None

    def scrub(self, text: str) -> Scrubbed:
        """Return the text without them, each replaced by its kind in brackets."""
        # Cut before and after: to bring a text into one form may take long as well, and makes some of them longer.
        out, taken = plain(text[:MAX_CHARACTERS])[:MAX_CHARACTERS], []
        rules = [*_COMPILED] if self._words is None else [("name", self._words), *_COMPILED]
        for kind, rule in rules:
            found: list[str] = []

            def replaced(match: re.Match[str], kind: str = kind, found: list[str] = found) -> str:
                if not _is_hit(match):
                    return match[0]
                found.append(kind)
                return f"[{kind}]"

            out = rule.sub(replaced, out)
            taken += found[:1]
        return Scrubbed(" ".join(out.split()), tuple(dict.fromkeys(taken)))


def _is_hit(match: re.Match[str]) -> bool:
    """Whether a rule found what it is for, and not only the run of characters with which that may begin."""
    groups = match.re.groupindex
    if "hit" in groups:
        return match["hit"] is not None
    if "token" in groups:
        token = match["token"]
        return _LETTER.search(token) is not None and len(_DIGIT.findall(token)) >= 2
    return True


def plain(text: str) -> str:
    """Return a text in one form: compatibility forms and digits of all scripts as plain ones, one space between."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    folded = unicodedata.normalize("NFKC", text)
    return " ".join("".join(_shown(c) for c in folded).split())


def _shown(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Nd":
        return str(unicodedata.decimal(character))
    return "" if kind == "Cf" else " " if kind in _UNSEEN else character
