"""In a process that a test began: its requests are watched, once it imports what makes them.

It looks for garbage less often than usual, as the tests' own processes do: an import makes none.
The tests put this folder on the path of their processes; Python imports this module by its name.
"""

import gc
import importlib.util
import os
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

_CLIENT = "gateway_core.http.client"


class _Watching(MetaPathFinder):
    """Stands before the other finders until the client is imported."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != _CLIENT:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        execute = spec.loader.exec_module

        def watched(module):
            execute(module)
            sys.path.append(str(Path(__file__).parents[1] / "shared"))
            import drifting  # noqa: PLC0415 - what it stands beside is on the path by now only

            drifting.watch(module.HttpClient, drifting.tell)

        spec.loader.exec_module = watched
        return spec


if "GATEWAY_TESTS_DRIFT" in os.environ:
    gc.set_threshold(10_000)
    sys.meta_path.insert(0, _Watching())
