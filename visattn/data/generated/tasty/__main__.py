"""``python -m visattn.data.generated.tasty --contact-sheet PATH``: draw a sheet of scenes."""

from collections.abc import Sequence

from visattn.data.generated.sheet import sheet_command
from visattn.data.generated.tasty.sheet import tasty_sheet


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw a contact sheet as the command line says."""
    sheet_command(tasty_sheet, arguments, scenes="tasty", size=148)


if __name__ == "__main__":
    main()
