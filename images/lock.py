# ruff: noqa: INP001 - a script, not a module of the package
"""Which version has every package of a recipe? Resolves ``image.yaml`` again and writes ``requirements.txt``.

For maintainers, after a change of a recipe's pins: ``python images/lock.py [NAME …]``.
"""

from __future__ import annotations

import sys

from harness.engine.images._indexes import pip_settings, uv_arguments, uv_environment
from harness.engine.images._recipes import Recipe, read_recipes, source_distributions
from harness.engine.images._scratch import find_uv, run_tool
from harness.engine.images._sdists import wheel_folder
from harness.engine.images._trees import PLATFORM

HEAD = "# Every package of the image with its version, made by images/lock.py from image.yaml's pins.\n"


def lock(recipe: Recipe) -> None:
    """Resolve a recipe's pins for its Python and write all that they need."""
    indexes = pip_settings()
    known = source_distributions(recipe.folder.parent.parent).values()
    wanted = [package for pins in recipe.pins for package in pins.packages] + [item.package for item in recipe.replaced]
    resolved = run_tool(
        [
            find_uv(), "pip", "compile", "-", "--python", sys.executable, "--no-python-downloads", "--python-version",
            recipe.python, "--python-platform", PLATFORM, "--only-binary", ":all:", "--no-header", "--no-annotate",
            "--no-progress", "--quiet", "--find-links", wheel_folder(indexes, known), *uv_arguments(indexes),
        ],
        doing=f"resolving {recipe.name}",
        environment=uv_environment(indexes),
        stdin="\n".join(wanted),
    )  # fmt: skip
    left_out = {package.partition("==")[0] for item in recipe.left_out for package in item.packages}
    lines = [line for line in resolved.splitlines() if line.partition("==")[0] not in left_out.union(recipe.removed)]
    recipe.requirements.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for found in read_recipes():
        if found.name in sys.argv[1:] or not sys.argv[1:]:
            lock(found)
            print(f"{found.name}: {len(found.locked)} packages")  # noqa: T201 - a program's output
