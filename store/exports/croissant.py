"""Croissant 1.1 (MLCommons): what an exported folder is, in the metadata format that search engines of data sets read.

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html. Every file is a `FileObject` with its SHA-256; the
columns of Parquet files are fields of record sets.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.objects import hash_of

FILE = "croissant.json"
VERSION = "http://mlcommons.org/croissant/1.1"
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "arrayShape": "cr:arrayShape",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


@dataclass(frozen=True)
class Table:
    """The columns of one Parquet file: (name, Croissant type, what it is, whether a list)."""

    file: str
    name: str
    columns: Sequence[tuple[str, str, str, bool]]


def write_croissant(
    folder: Path, *, name: str, description: str, licence: str, published: str, tables: Sequence[Table], encoding: str
) -> None:
    """Describe all files of a folder in `croissant.json`.

    Args:
        published: The day, `YYYY-MM-DD`.
        encoding: Media type of the data files.
    """
    files = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        relative = path.relative_to(folder).as_posix()
        with open(path, "rb") as file:
            digest = hash_of(file)
        files.append(
            {
                "@type": "cr:FileObject",
                "@id": relative,
                "name": relative,
                "contentUrl": relative,
                "contentSize": f"{path.stat().st_size} B",
                "encodingFormat": encoding if path.suffix != ".parquet" else "application/x-parquet",
                "sha256": digest,
            }
        )
    said = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": name,
        "description": description,
        "license": licence,
        "url": f"urn:sha256:{_set_hash(files)}",
        "version": "1.0.0",
        "datePublished": published,
        "creator": {"@type": "sc:Organization", "name": "Palaestra"},
        "citeAs": name,
        "distribution": files,
        "recordSet": [_record_set(table) for table in tables],
    }
    (folder / FILE).write_text(json.dumps(said, indent=1, ensure_ascii=False), "utf-8")


def _set_hash(files: Sequence[dict[str, Any]]) -> str:
    import hashlib

    return hashlib.sha256("".join(f"{file['@id']} {file['sha256']}\n" for file in files).encode()).hexdigest()


def _record_set(table: Table) -> dict[str, Any]:
    fields = []
    for name, kind, what, is_list in table.columns:
        row: dict[str, Any] = {
            "@type": "cr:Field",
            "@id": f"{table.name}/{name}",
            "name": name,
            "description": what,
            "dataType": kind,
            "source": {"fileObject": {"@id": table.file}, "extract": {"column": name}},
        }
        if is_list:
            row |= {"isArray": True, "arrayShape": "-1"}
        fields.append(row)
    return {"@type": "cr:RecordSet", "@id": table.name, "name": table.name, "field": fields}
