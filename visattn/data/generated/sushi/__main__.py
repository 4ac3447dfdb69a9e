"""``python -m visattn.data.generated.sushi --contact-sheet PATH``: all kinds and styles."""

from collections.abc import Sequence

from visattn.data.generated.sheet import sheet_command
from visattn.data.generated.sushi.sheet import contact_sheet


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw a contact sheet as the command line says."""
    sheet_command(contact_sheet, arguments, scenes="sushi", size=112, rows=4)


if __name__ == "__main__":
    main()
