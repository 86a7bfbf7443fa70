# SPDX-License-Identifier: Apache-2.0
"""The wheel. With INFER_LIBRARY=path/to/libinfer.so the library goes into it (a wheel for this platform);
without, the wheel is pure Python and the package loads the installed library."""
import os
import pathlib
import shutil

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.dist import Distribution

LIBRARY = os.environ.get("INFER_LIBRARY")


class Build(build_py):
    def run(self):
        super().run()
        if LIBRARY:
            shutil.copyfile(LIBRARY, pathlib.Path(self.build_lib) / "infer" / "libinfer.so")


class Platform(Distribution):
    def has_ext_modules(self):
        return bool(LIBRARY)


def wheel_command():
    try:
        from setuptools.command.bdist_wheel import bdist_wheel
    except ImportError:
        from wheel.bdist_wheel import bdist_wheel

    class Wheel(bdist_wheel):
        def get_tag(self):  # the library is called through ctypes: any Python 3 will do
            python, abi, platform = super().get_tag()
            return "py3", "none", platform
    return Wheel


try:
    commands = {"build_py": Build, "bdist_wheel": wheel_command()}
except ImportError:
    commands = {"build_py": Build}
setup(cmdclass=commands, distclass=Platform)
