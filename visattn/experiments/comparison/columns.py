"""From what a test found to the columns of a comparison."""

from collections.abc import Container, Mapping

from visattn.training.results import Results

RANDOM = ("mixed_rand", "rand")
NEW = ("mixed_new", "new")


def random_split(splits: Container[str]) -> str | None:
    """The split with random backgrounds, if there is one."""
    return next((name for name in RANDOM if name in splits), None)


def split_name(name: str) -> str:
    """A split's name in the tables.

    Example:
        >>> split_name("test_mixed_rand")
        'mixed_rand'
    """
    return name.removeprefix("test_") or name


def shares_of(splits: Mapping[str, Mapping[str, float]], *, best: str) -> dict[str, float]:
    """Columns ``accuracy/SPLIT`` of another task: what its validation is judged by.

    Args:
        splits: The measures of one test, by split.
        best: What is logged of the validation split, such as ``val/correct``.

    Example:
        >>> shares_of({"test": {"correct": 0.5}}, best="val/correct")
        {'accuracy/test': 0.5}
    """
    measure = best.rpartition("/")[2]
    return {
        f"accuracy/{split_name(name)}": found[measure]
        for name, found in splits.items()
        if measure in found
    }


def numbers_of(results: Results, *, classes: int) -> tuple[dict[str, float], dict[str, str]]:
    """Numbers by column, and words by column.

    Columns are ``accuracy/SPLIT``, ``images/SPLIT``, ``mask_iou/SPLIT``, ``mask_share/SPLIT`` (what
    a mask of the whole image would get as IoU), ``background_gap``, ``new_minus_rand``, ``chance``,
    and of the split with random backgrounds ``worst_group/SPLIT``, ``worst_group_images`` (its
    size), ``groups`` (large enough to count) and ``small_groups``; those that are undefined are
    left out.

    Args:
        results: Of one test.
        classes: How many there are.
    """
    numbers, words = {"chance": 1 / classes}, {}
    outcomes = {split_name(key): outcome for key, outcome in results.splits.items()}
    for name, outcome in outcomes.items():
        share = outcome.accuracy
        numbers[f"accuracy/{name}"] = share.value
        numbers[f"images/{name}"] = float(share.images)
        if outcome.iou is not None:
            numbers[f"mask_iou/{name}"] = outcome.iou.mean
            numbers[f"mask_share/{name}"] = outcome.chance
        worst = outcome.worst
        if name in RANDOM and worst is not None and worst.label is not None:
            numbers[f"worst_group/{name}"] = worst.accuracy.value
            numbers["worst_group_images"] = float(worst.accuracy.images)
            numbers["groups"], numbers["small_groups"] = float(worst.groups), float(worst.left_out)
            kind = outcome.class_names[worst.label] if outcome.class_names else worst.label
            words["worst_group_name"] = f"{kind} on {worst.background}"
    if results.gap is not None:
        numbers["background_gap"] = results.gap.value
    for new, rand in zip(NEW, RANDOM, strict=True):
        if new in outcomes and rand in outcomes:
            numbers["new_minus_rand"] = numbers[f"accuracy/{new}"] - numbers[f"accuracy/{rand}"]
    return {name: value for name, value in numbers.items() if value == value}, words
