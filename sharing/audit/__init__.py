"""What happened between vendors, in a Merkle tree whose heads they keep: nobody changes it unseen."""

from sharing.audit.log import Log

__all__ = ["Log"]
