"""The channel `export`: a granted projection as an archive in a format that others read."""
