"""Builds the control kernel; everything else about the distribution is in pyproject.toml.

The kernel is plain C, opened with ctypes by its path: it needs a C compiler and no Python headers' symbol.
Where it cannot be built the installation goes on and the control core runs on NumPy.
"""

import hashlib
import platform
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = tuple(
    f"controller/{name}"
    for name in ("kernel.c", "kernel_real.h", "kernel_command.h", "kernel_physics.h", "kernel_step.h")
)


class BuildKernel(build_ext):
    """Adds the flags that the compiler at hand understands."""

    def build_extension(self, ext: Extension) -> None:
        if self.compiler.compiler_type == "unix":
            # Bit equality with NumPy rests on -ffp-contract=off and on the absence of -ffast-math.
            ext.extra_compile_args += [
                "-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
                "-fvisibility=hidden",
            ]  # fmt: skip
            if platform.machine().lower() in ("x86_64", "amd64"):
                ext.extra_compile_args.append("-mprefer-vector-width=512")
        super().build_extension(ext)


def digest() -> str:
    """Return what controller/kernel.py:source_digest will compare with."""
    together = hashlib.sha256()
    for source in SOURCES:
        together.update((Path(__file__).parent / source).read_bytes())
    return together.hexdigest()[:16]


setup(
    cmdclass={"build_ext": BuildKernel},
    ext_modules=[
        Extension(
            "controller._kernel",
            [SOURCES[0]],
            depends=list(SOURCES),
            define_macros=[("KERNEL_DIGEST", f'"{digest()}"')],
            optional=True,
        )
    ],
)
