"""Everything the store refuses, one class per reason. Each message carries the offending value."""


class StoreError(Exception):
    """Base of all errors of the store."""


class InvalidEpisode(StoreError):
    """A header, an outcome or a signal breaks the rules of an episode; nothing of it was written."""


class EpisodeClosed(StoreError):
    """The recorder was sealed, aborted, or failed before; it takes no more rows."""


class StoreFull(StoreError):
    """The disk, a quota or a file size limit is exhausted; nothing of the episode became visible."""


class BrokenEpisode(StoreError):
    """A sealed file is truncated, altered, too big to decode, or says something else than it holds."""


class EpisodeNotFound(StoreError):
    """There is no such episode for this reader: it does not exist, or it belongs to somebody else."""


class InvalidDigest(StoreError):
    """A name of an object is not 64 lower-case hexadecimal digits."""


class ObjectNotFound(StoreError):
    """The object store holds nothing under this digest."""


class KeyDestroyed(ObjectNotFound):
    """The key of the vendor to whom the object belongs was destroyed: nobody reads it again; or it is not here."""


class ExposedKeys(StoreError):
    """Keys lie where others can read them."""


class BrokenObject(StoreError):
    """The bytes of an object do not have the hash that names it."""


class ExportRefused(StoreError):
    """Episodes cannot go into one data set, or the target is not free."""


class VideoUnavailable(StoreError):
    """Video was asked for, and what encodes and decodes it is not installed here."""


class CameraNotFound(StoreError):
    """The episode has no camera of this name; the message lists those that it has."""


class StoreUnreachable(StoreError):
    """The service that holds the objects does not answer, does not let us in, or is no such service."""


class WindowsRefused(StoreError):
    """Windows cannot be cut from these episodes, or not of this shape; the message names the episode and the signal."""


class BrokenCache(StoreError):
    """A cache of windows is truncated, altered, or says something else than it holds; deleted, it is made anew."""


class ImportRefused(StoreError):
    """A source cannot be imported: it is broken, hostile, too big, or leaves out what nobody can guess."""


class BrokenExport(StoreError):
    """A signed folder is not what was signed: a file is missing, altered or additional, or the signature is wrong."""
