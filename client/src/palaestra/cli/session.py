"""A command's connection to the venue."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palaestra.client import Client
    from palaestra.login import Login

_SILENT_S = 1.0


def find_login(profile: str | None) -> "Login":
    """Return the login that the command works with, and warn if others can read it."""
    from palaestra import login

    found = login.find(os.environ, profile)
    path = login.path_of(os.environ, profile or login.current(os.environ))
    if path.exists() and login.is_exposed(path):
        warn(f"{path} can be read by others: chmod 600 it, and have the venue change the token")
    return found


@contextmanager
def connect(profile: str | None) -> Iterator["Client"]:
    """Open a client whose venue has answered. Says so if that takes long."""
    from palaestra.client import Client
    from palaestra.errors import Unreachable

    login = find_login(profile)
    tls = login.tls()
    with Client(
        login.address,
        login.token,
        tls_root=tls.root,
        tls_certificate=tls.certificate,
        tls_key=tls.key,
        sharing_url=login.sharing_url,
    ) as client:
        patience = threading.Timer(_SILENT_S, warn, [f"waiting for the venue at {login.address} ..."])
        patience.daemon = True
        patience.start()
        try:
            client.identity()
        except Unreachable as error:
            from palaestra.tls import trouble

            why = trouble(login.address, tls)
            raise Unreachable(f"{error.message}; {why}") if why else error from None
        finally:
            patience.cancel()
        yield client


def warn(sentence: str) -> None:
    """Tell a person something beside the result."""
    print(sentence, file=sys.stderr, flush=True)
