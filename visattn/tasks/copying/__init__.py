"""Copying a sequence of symbols."""

from visattn.tasks.copying.data import CopyingData
from visattn.tasks.copying.module import CopyingModule

__all__ = ["CopyingData", "CopyingModule"]
