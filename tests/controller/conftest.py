"""Fixtures of the control room."""

from collections.abc import Iterator

import pytest

from controller import kernel
from controller.library import Library


@pytest.fixture(params=["compiled", "numpy"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each form of the step; the compiled one is skipped only where it was not built."""
    if request.param == "compiled" and kernel.backend() != "compiled":
        pytest.skip(kernel.backend_reason())
    name: str = request.param
    return name


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A machine without the compiled kernel."""
    reason = "it is not built"
    monkeypatch.setattr(kernel, "load", lambda folder: Library(None, reason))
    kernel.loaded.cache_clear()
    yield reason
    kernel.loaded.cache_clear()
