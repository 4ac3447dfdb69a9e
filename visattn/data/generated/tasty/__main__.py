"""``python -m visattn.data.generated.tasty --contact-sheet PATH``: draw a sheet of scenes."""

import argparse
from collections.abc import Sequence

from visattn.data.generated.sushi.sheet import save_contact_sheet
from visattn.data.generated.tasty.sheet import tasty_sheet


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw a contact sheet as the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m visattn.data.generated.tasty",
        description="Draw a contact sheet of tasty scenes.",
    )
    parser.add_argument("--contact-sheet", metavar="PATH", required=True, help="PNG to write")
    parser.add_argument("--size", type=int, default=148, help="side of a tile in pixels")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes")
    options = parser.parse_args(arguments)
    try:
        sheet = tasty_sheet(size=options.size, seed=options.seed)
    except ValueError as error:
        parser.error(str(error))
    save_contact_sheet(options.contact_sheet, sheet)
    print(f"{options.contact_sheet}: {sheet.shape[1]} x {sheet.shape[0]} pixels")


if __name__ == "__main__":
    main()
