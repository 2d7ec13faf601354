"""Gives access to the modules of the image model's training: its prompts' language and its optimiser."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "image"))  # last: this folder's own names win
