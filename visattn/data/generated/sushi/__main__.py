"""``python -m visattn.data.generated.sushi --contact-sheet PATH``: all kinds and styles."""

import argparse
from collections.abc import Sequence

from visattn.data.generated.sushi.sheet import contact_sheet, save_contact_sheet


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw a contact sheet as the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m visattn.data.generated.sushi",
        description="Draw a contact sheet of sushi scenes.",
    )
    parser.add_argument("--contact-sheet", metavar="PATH", required=True, help="PNG to write")
    parser.add_argument("--size", type=int, default=112, help="side of a tile in pixels")
    parser.add_argument("--rows", type=int, default=4, help="rows of kinds, 1 to 9")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes")
    options = parser.parse_args(arguments)
    try:
        sheet = contact_sheet(size=options.size, rows=options.rows, seed=options.seed)
    except ValueError as error:
        parser.error(str(error))
    save_contact_sheet(options.contact_sheet, sheet)
    print(f"{options.contact_sheet}: {sheet.shape[1]} x {sheet.shape[0]} pixels")


if __name__ == "__main__":
    main()
