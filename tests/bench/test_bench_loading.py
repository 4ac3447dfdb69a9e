"""Pictures a second, from a folder and from shards."""

import re

import pytest

from visattn.bench.loading import main


def test_a_table_by_workers(capsys):
    pytest.importorskip("webdataset", reason="shards need the extra 'shards'")
    main(["--pictures", "96", "--side", "32", "--size", "16", "--workers", "0", "1"])
    said = capsys.readouterr().out
    assert re.findall(r"│ (\d+) +│ [1-9]\d* +│ [1-9]\d* +│", said) == ["0", "1"]
