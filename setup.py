"""Carries ``data/`` into a wheel; everything else about the package stands in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithData(build_py):
    """Puts the embedded data where ``karyo_lib.resources`` looks for it in an installation."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree("data", Path(self.build_lib) / "karyo_lib" / "_data", dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithData})
