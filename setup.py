"""Builds the control kernel, the timed loop and the simulated drives; everything else is in pyproject.toml.

They are plain C, opened with ctypes by their paths: they need a C compiler and no Python headers' symbol.
Where they cannot be built the installation goes on: law and drives run on NumPy, the loop in Python.
"""

import hashlib
import platform
import shutil
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = tuple(
    f"controller/{name}"
    for name in ("kernel.c", "kernel_real.h", "kernel_command.h", "kernel_physics.h", "kernel_step.h")
)
LOOP_SOURCES = tuple(f"controller/realtime{part}" for part in (".c", "_thread.c", "_plants.c", ".h", "_loop.h"))
SUBSTEP_SOURCES = ("sim/substep.c",)


class BuildKernel(build_ext):
    """Adds the flags that the compiler at hand understands; compiles nothing that is current beside its sources.

    Compiling takes a minute. What setuptools compares is a folder that a fresh checkout does not have, so
    that an installation in place and the build after it would each compile everything.
    """

    def run(self) -> None:
        self._in_place = bool(self.inplace or self.editable_mode) and not self.force
        super().run()

    def build_extension(self, ext: Extension) -> None:
        built = Path(__file__).parent / self.get_ext_filename(ext.name)
        baked = next(value for name, value in ext.define_macros if name.endswith("_DIGEST"))
        if self._in_place and built.is_file() and baked.strip('"').encode() in built.read_bytes():
            target = Path(self.get_ext_fullpath(ext.name))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(built, target)
            return
        if self.compiler.compiler_type == "unix":
            # Bit equality with NumPy rests on -ffp-contract=off and on the absence of -ffast-math.
            ext.extra_compile_args += [
                "-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
                "-fvisibility=hidden",
            ]  # fmt: skip
            if platform.machine().lower() in ("x86_64", "amd64"):
                ext.extra_compile_args.append("-mprefer-vector-width=512")
        super().build_extension(ext)


def digest(sources: tuple[str, ...]) -> str:
    """Return what controller/library.py:source_digest will compare with."""
    together = hashlib.sha256()
    for source in sources:
        together.update((Path(__file__).parent / source).read_bytes())
    return together.hexdigest()[:16]


setup(
    cmdclass={"build_ext": BuildKernel},
    ext_modules=[
        Extension(
            "controller._kernel",
            [SOURCES[0]],
            depends=list(SOURCES),
            define_macros=[("KERNEL_DIGEST", f'"{digest(SOURCES)}"')],
            optional=True,
        ),
        Extension(
            "sim._substep",
            list(SUBSTEP_SOURCES),
            depends=list(SUBSTEP_SOURCES),
            define_macros=[("SUBSTEP_DIGEST", f'"{digest(SUBSTEP_SOURCES)}"')],
            optional=True,
        ),
        Extension(
            "controller._realtime",
            [source for source in LOOP_SOURCES if source.endswith(".c")],
            depends=list(LOOP_SOURCES),
            define_macros=[("REALTIME_DIGEST", f'"{digest(LOOP_SOURCES)}"')],
            libraries=["pthread"],
            optional=True,
        ),
    ],
)
