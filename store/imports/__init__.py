"""Imports: other people's recordings become episodes of this store.

    done = import_path(path, root, vendor="vendors/acme", robot="unitree_g1", mapping=Mapping.parse(text))

`formats/` has one file per format behind one contract (`raw.Format`); it runs in a confined process (`sandbox`,
`confine`); `mapping` decides what becomes which signal; `ingest` records, all or nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from store.imports.confine import Limits
    from store.imports.ingest import Imported, ImportedEpisode, import_path, suggest
    from store.imports.mapping import Mapping

__all__ = ["Imported", "ImportedEpisode", "Limits", "Mapping", "import_path", "suggest"]

# A name is imported when it is first asked for: the confined process must not load what only its caller needs.
_HOME = {
    "Limits": "confine",
    "Imported": "ingest",
    "ImportedEpisode": "ingest",
    "import_path": "ingest",
    "suggest": "ingest",
    "Mapping": "mapping",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"store.imports.{_HOME[name]}"), name)
