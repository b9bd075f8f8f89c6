"""Imports: other people's recordings become episodes of this store.

    done = import_path(path, root, vendor="vendors/acme", robot="unitree_g1", mapping=Mapping.parse(text))

`formats/` has one file per format behind one contract (`raw.Format`); it runs in a confined process (`sandbox`,
`confine`); `mapping` decides what becomes which signal; `ingest` records, all or nothing.
"""

from store.imports.confine import Limits
from store.imports.ingest import Imported, ImportedEpisode, import_path, suggest
from store.imports.mapping import Mapping

__all__ = ["Imported", "ImportedEpisode", "Limits", "Mapping", "import_path", "suggest"]
