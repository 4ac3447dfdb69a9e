"""The data modules of sentences about sushi, under the name that they once shared."""

from visattn.tasks.sentiment.data import ReviewData
from visattn.tasks.tagging.data import TaggingData

__all__ = ["ReviewData", "TaggingData"]
