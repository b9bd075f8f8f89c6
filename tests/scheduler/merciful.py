"""A scheduler that lets one that it has overtaken go on, so that a test sees what that one does."""

from scheduler import __main__, leadership


def main() -> int:
    leadership.MERCY_S = 3600.0
    return __main__.main()
