"""The graded items, part by part. Importing this package puts all of them into `rubric.ITEMS`, in order."""

import importlib
from pathlib import Path

for _path in sorted(Path(__file__).parent.glob("part*.py")):
    importlib.import_module(f"{__name__}.{_path.stem}")
