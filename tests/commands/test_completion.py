"""A shell completes words by what ``visattn completion`` prints: asked of a real one."""

import contextlib
import io
import shutil
import subprocess
import sys

import pytest

from visattn.cli import main
from visattn.commands import completion

ASK = """
source "$1"; shift
COMP_WORDS=(visattn "$@"); COMP_CWORD=$#
_shtab_visattn visattn "${@: -1}" "${@: -2:1}" && printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["completion", "bash"]) == 0
    path = tmp_path_factory.mktemp("completion") / "script"
    path.write_text(printed.getvalue())
    return path


@pytest.fixture
def completed(script, tmp_path):
    """Asks bash what it offers for the last of the words."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")

    def asked(*words):
        command = [bash, "-c", ASK, "bash", str(script), *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path).stdout.split()

    return asked


def test_bash_completes_commands_options_words_and_files(completed, tmp_path):
    (tmp_path / "mine.yaml").write_text("")
    assert {"fit", "overlay", "masks", "completion"} <= set(completed(""))
    assert completed("masks", "im") == ["import"]
    assert completed("plan", "resnet50", "lcb") == completed("blocks", "lcb") == ["lcbam"]
    assert completed("overlay", "--norm") == ["--normalise"]
    assert completed("overlay", "--normalise", "lay") == ["layer"]
    assert completed("audit", "--mask") == ["--masks", "--mask-model", "--mask-values"]
    assert completed("audit", "--model", "mi") == ["mine.yaml"]
    assert completed("compare", "foreground/mask_a") == ["foreground/mask_all"]
    assert completed("compare", "foreground/plain", "mi") == ["mine.yaml"]


def test_bash_completes_the_options_of_lightning(completed):
    assert completed("fit", "-c", "foreground/mask_a") == ["foreground/mask_all"]
    assert completed("fit", "--trainer.max_e") == ["--trainer.max_epochs"]
    assert completed("test", "--ckpt") == ["--ckpt_path"]


def test_without_the_extra_the_other_commands_are_completed(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning", None)
    assert completion._lightning() == {}


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_can_read_theirs(shell, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(completion, "_lightning", dict)
    assert main(["completion", shell]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    assert "lcbam" in script.read_text()
    if shutil.which(shell):
        done = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_a_shell_that_is_not_known_is_told(capsys):
    assert main(["completion", "fsh"]) == 2
    assert "fsh" in capsys.readouterr().err
