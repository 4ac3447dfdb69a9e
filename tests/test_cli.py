import os
import platform
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser
from quick import slow_but

import visattn
from visattn.cli import LIGHTNING, main
from visattn.commands import COMMANDS, GROUPS


def run(code, *words, **environment):
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", slow_but(["demo --help", "blocks se"], ["demo --help"]))
def test_what_docstrings_say_is_said_without_docstrings(words):
    plain, optimised = (
        subprocess.run(
            [sys.executable, *flags, "-m", "visattn", *words.split()],
            capture_output=True, text=True, check=True,
        ).stdout
        for flags in ([], ["-OO"])
    )  # fmt: skip
    assert optimised == plain
    assert len(plain.splitlines()) > 10


def test_help_names_every_command_and_loads_no_torch():
    code = (
        "import sys; from visattn.cli import main; code = main(['--help'])\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'lightning', 'timm'} & set(sys.modules)\n"
        "sys.exit(code or len(heavy))"
    )
    found = run(code)
    assert found.returncode == 0, found.stderr
    for name in (*COMMANDS, *GROUPS, *LIGHTNING):
        assert f"\n    {name} " in found.stdout


def test_help_reads_no_arguments_and_a_command_only_its_own(monkeypatch):
    read, add = [], ArgumentParser.add_function_arguments

    def noted(self, function, **options):
        read.append(function)
        return add(self, function, **options)

    monkeypatch.setattr(ArgumentParser, "add_function_arguments", noted)
    assert main(["--help"]) == 0
    assert not read
    assert main(["blocks", "--help"]) == 0
    assert read == [COMMANDS["blocks"]]


@pytest.mark.slow
def test_fit_loads_no_module_of_the_other_commands():
    code = (
        "import sys; from visattn.cli import main; code = main(['fit', '--help'])\n"
        "sys.exit(code or len([m for m in sys.modules if m.startswith('visattn.commands')]))"
    )
    found = run(code)
    assert found.returncode == 0, found.stderr


def explained(words, *, capsys):
    """The help of a command in one line, which begins as it is called and fits the terminal."""
    assert main([*words, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: {' '.join(['visattn', *words])} ")
    assert max(map(len, out.splitlines())) <= 80
    assert not re.search(r"--\w+(_|\+)", out), "options are written with hyphens, and once"
    return " ".join(out.split())


@pytest.fixture(autouse=True)
def _terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name, capsys):
    out = explained([name], capsys=capsys)
    summary = " ".join(COMMANDS[name].__doc__.partition("\n")[0].split())
    assert summary in out


@pytest.mark.parametrize(("name", "action"), [(n, a) for n in GROUPS for a in GROUPS[n][1]])
def test_every_action_explains_itself(name, action, capsys):
    whole = explained([name], capsys=capsys)
    summary = " ".join(GROUPS[name][1][action].__doc__.partition("\n")[0].split())
    assert GROUPS[name][0] in whole
    assert summary in whole
    assert summary in explained([name, action], capsys=capsys)


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"visattn {visattn.__version__}"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["frobnicate"], 2, "frobnicate"),
        (["plan", "resnet18"], 2, "block"),
        (["plan", "resnet18", "cban"], 1, "Did you mean 'cbam'"),
        (["plan", "resnt18", "se"], 1, "resnet18"),
        (["plan", "resnet18", "se", "--stages=x"], 2, "stages"),
        (["plan", "resnet18", "se", "--options={rd: 4}"], 1, "no option 'rd'"),
        (["overlay", "no.png", "--model=no.ckpt"], 1, "no checkpoint at no.ckpt"),
        (["render", "x", "--rho=2"], 1, "rho"),
    ],
)
def test_a_mistake_is_one_message_and_no_traceback(words, code, message, capsys, tmp_path):
    words = [str(tmp_path / word) if word == "x" else word for word in words]
    assert main(words) == code
    found = capsys.readouterr()
    assert message in " ".join(found.err.split())
    assert "Traceback" not in found.err


def test_source_that_is_not_installed_runs():
    found = run(
        "from importlib import metadata\n"
        "def version(name): raise metadata.PackageNotFoundError(name)\n"
        "metadata.version = version\n"
        "import visattn; print(visattn.__version__)"
    )
    assert found.stdout == "0+source\n", found.stderr


def test_nothing_said_is_help_and_code_2(capsys):
    assert main([]) == 2
    assert "subcommands" in capsys.readouterr().out


def test_debug_shows_where_a_mistake_came_up(monkeypatch):
    with pytest.raises(KeyError, match="sx"):
        main(["plan", "resnet18", "sx", "--debug"])
    monkeypatch.setenv("VISATTN_DEBUG", "1")
    with pytest.raises(KeyError, match="sx"):
        main(["plan", "resnet18", "sx"])


def test_a_fault_of_ours_is_not_hidden(monkeypatch):
    def broken():
        raise ZeroDivisionError("ours")

    monkeypatch.setitem(COMMANDS, "blocks", broken)
    with pytest.raises(ZeroDivisionError):
        main(["blocks"])


def test_an_interruption_has_its_own_code(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, "blocks", interrupted)
    assert main(["blocks"]) == 130


def test_plan_prints_the_table(capsys):
    assert main(["plan", "resnet18", "se", "--stages=[4]"]) == 0
    assert capsys.readouterr().out.strip() == str(visattn.plan("resnet18", "se", stages=[4]))


def test_blocks_are_listed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["blocks", "--channels=16", "--size=4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split() for line in lines if line[:1].isalpha()}
    assert set(visattn.block_names()) <= rows.keys()
    assert {
        "Channel:",
        "Place:",
        "Both:",
        "Context",
        "Self-attention",
        "Kernels",
        "Masks",
    } <= rows.keys()
    assert rows["scoord"][1:3] == ["Simple", "coordinate"]
    assert max(map(len, lines)) <= 80
    # 16 weights twice and 17 biases; the map is kept, and a few values more.
    assert rows["se"] == ["se", "Squeeze-and-excitation", "2017", "1709.01507", "49", "32", "1.1"]
    assert rows["double"][1:5] == ["Double", "attention", "2018", "1810.11579"]
    assert rows["gaussian"][3:6] == ["2021", "CVPR", "2021"]


def test_a_block_is_told_of(capsys):
    assert main(["blocks", "lcbam"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for said in (
        "variant='light'",
        "arXiv:1807.06521",
        "Recorded: ``channel``",
        "8,243 parameters; on a map of 256 x 14 x 14",
        "The same class under other names: cbam.",
        "Goes to 'branch', stands after.",
    ):
        assert said in out


def test_a_blocks_paragraphs_fill_the_terminal_and_its_table_stays(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["blocks", "cbam"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith('``"light"``') and line.endswith("the 7x7.") for line in lines)
    assert "BN weight          starts at 0       starts at 1" in [line.rstrip() for line in lines]


def test_render_writes_scenes(tmp_path):
    words = ["--size=32", "--train=8", "--val=0", "--test=0", "--workers=1"]
    assert main(["render", str(tmp_path / "scenes"), *words]) == 0
    assert len(list((tmp_path / "scenes" / "train").glob("images/*/*.png"))) == 8
    words = ["--size=32", "--train=0", "--val=0", "--test=1", "--adversarial=1", "--workers=1"]
    assert main(["render", str(tmp_path / "many"), *words]) == 0
    assert len(list((tmp_path / "many" / "test_adversarial").glob("images/*/*.png"))) == 64


@pytest.mark.parametrize(
    "package", slow_but(["lightning", "torchmetrics", "albumentations"], ["lightning"])
)
def test_a_missing_extra_is_named(package):
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from visattn.cli import main; sys.exit(main(['fit', '-c', 'foreground/mask']))"
    )
    found = run(code)
    assert found.returncode == 1, found.stderr
    assert "pip install 'visattn[train]'" in found.stderr
    assert package in found.stderr
    assert "Traceback" not in found.stderr


def test_help_fits_80_columns(capsys):
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "usage: visattn COMMAND ..."


@pytest.mark.parametrize(
    "words",
    [
        ["overlay", "a.jpg", "--model", "resnet10t"],
        ["export", "resnet10t", "--out", "a.onnx"],
        ["report", "resnet10t"],
        ["evaluate-maps", "resnet10t"],
        ["audit", "--model", "resnet10t", "--data", "sushi"],
    ],
    ids=lambda words: words[0],
)
def test_a_network_by_name_has_random_weights_timms_or_ones_own(words, tmp_path, capsys):
    assert main([*words, "--pretrained", f"--weights={tmp_path / 'own.pth'}"]) == 1
    assert "is for the name of a timm model: pretrained loads timm's" in capsys.readouterr().err
    assert main([*words, f"--weights={tmp_path / 'own.pth'}"]) == 1
    assert capsys.readouterr().err.startswith(f"no checkpoint at {tmp_path / 'own.pth'}")


needs_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="without glibc a process ends as ever"
)
ENDING = """
import atexit, ctypes, sys, tempfile
sys.modules.setdefault("torch", None)  # as if a command had imported it
libc = ctypes.CDLL(None)
libc.on_exit(libc.abort, None)  # a library's destructor, which must not run
libc.printf(b"from C\\n")
atexit.register(print, "at exit")
kept = tempfile.TemporaryDirectory()
print(kept.name)
from visattn.cli import run
sys.argv = ["visattn", *sys.argv[1:]]
sys.exit(run())
"""


@needs_glibc
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--help"], 0, "usage: visattn"),
        (["audit", "--model", "resnet18"], 2, ""),
        (["masks", "import", "no_file", "no_folder"], 1, ""),
    ],
)
def test_a_process_ends_as_ever_but_for_the_destructors_of_libraries(words, code, said):
    found = run(ENDING, *words, VISATTN_TUNE_PROCESS="1")
    assert found.returncode == code, found.stderr
    assert said in found.stdout
    assert found.stdout.count("from C\n") == 1  # C's own buffer, written at the end
    folder, *_, last = found.stdout.replace("from C\n", "").splitlines()
    assert last == "at exit"
    assert not Path(folder).exists()
    kept = run(ENDING, *words, VISATTN_TUNE_PROCESS="0")
    assert kept.returncode == -signal.SIGABRT


@needs_glibc
def test_a_closed_pipe_is_told_as_ever():
    codes = []
    for tuned in "01":
        code = ENDING.replace("libc.on_exit(libc.abort, None)", "")
        with subprocess.Popen(
            [sys.executable, "-c", code, "--help"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "VISATTN_TUNE_PROCESS": tuned},
        ) as process:
            process.stdout.close()
            codes.append((process.wait(), process.stderr.read()))
    assert codes[0] == codes[1]
    assert codes[0][0] != 0


@needs_glibc
def test_a_command_within_a_process_leaves_its_end_alone():
    code = ENDING.replace("import run", "import main as run").replace("run())", "run(['--help']))")
    assert run(code, VISATTN_TUNE_PROCESS="1").returncode == -signal.SIGABRT
