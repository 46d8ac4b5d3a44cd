"""Runs while an image is built: compiles each Python file in a directory that has no bytecode yet.

    python3 compile_bytecode.py /opt/venv/lib/python3.11/site-packages

Only what is missing, so a layer holds no second copy of what the layer below compiled. `unchecked-hash`
bytecode depends on the source alone (not on file times) and is loaded without a look at the source.
"""

import concurrent.futures
import functools
import importlib.util
import pathlib
import py_compile
import sys


def main(directory: pathlib.Path) -> None:
    """Compiles on all cores; a file that does not compile (a template, another Python) is left as it is."""
    missing = [
        str(path)
        for path in sorted(directory.rglob("*.py"))
        if not pathlib.Path(importlib.util.cache_from_source(str(path))).exists()
    ]
    compile_one = functools.partial(
        py_compile.compile, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    with concurrent.futures.ProcessPoolExecutor() as pool:
        list(pool.map(compile_one, missing, chunksize=64))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
