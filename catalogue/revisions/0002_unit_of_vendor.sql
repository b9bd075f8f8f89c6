-- A vendor's episodes on a unit, without a look at those of the others who had it.
CREATE INDEX episode_by_vendor_unit ON episode (vendor, unit, start_ns, id, kind, quality) WHERE unit <> '';
