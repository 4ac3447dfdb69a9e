"""The command that packs a folder into shards."""


def pack_pictures(folder: str, out: str, *, shard_mb: int = 256) -> None:
    """Pack a folder of pictures and masks into tar shards, for data beyond one disk.

    Args:
        folder: Pictures by class, SPLIT/images/CLASS/ID.jpg, with masks where there are some.
        out: The folder for the shards; it must not exist yet.
        shard_mb: Size of a shard in MB.
    """
    from visattn.data.shards.packing import pack_folder

    packed = pack_folder(folder, out, shard_mb=shard_mb)
    masked = 0
    for name, split in packed.splits.items():
        masked += (masks := sum(row.mask is not None for row in split.rows))
        print(
            f"{name}: {len(split.rows)} pictures, {masks} masks, {len(split.shards)} shards, "
            f"{sum(size for _, size in split.shards) / 1e6:.1f} MB"
        )
    print(f"written to {out}")
    recipe = "foreground/mask" if masked else "foreground/plain"
    print(f"next: visattn fit -c {recipe} --data ShardData --data.root {out}")
