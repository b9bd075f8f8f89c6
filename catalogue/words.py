"""Words of tasks: what is indexed of a text, and what a search for words asks the index.

Between Chinese, Japanese and Korean characters are no spaces, so that each becomes a word, and a run of them that is
looked for a phrase.
"""

import re
import unicodedata

_RUN = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff])")
_WORD = re.compile(r"\w+\*?")


def indexed(text: str) -> str:
    """Return the text as the index gets it."""
    return _RUN.sub(r" \1 ", text)


def asked(text: str) -> str:
    """Return the index's expression for texts that have all words of `text`; a star lets a word be unfinished.

    Empty where there is no word to look for. Nothing of the index's own language gets through.
    """
    terms = []
    # A mark that stands behind its letter would part the word; the index takes either form for the same.
    for word in _WORD.findall(unicodedata.normalize("NFC", text)):
        stem = word.rstrip("*")
        # To the index `_` is a space, and a phrase of spaces is found nowhere.
        if phrase := " ".join(indexed(stem).replace("_", " ").split()):
            terms.append(f'"{phrase}"' + ("*" if word.endswith("*") else ""))
    return " AND ".join(terms)
