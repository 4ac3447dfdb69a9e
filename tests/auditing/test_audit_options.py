"""The options of an audit are said once: the function and the command have the same."""

import inspect
import subprocess
import sys
from dataclasses import fields

import pytest

import visattn
from visattn.auditing.options import AuditOptions
from visattn.commands import COMMANDS


def test_the_function_shows_and_documents_every_option():
    parameters = inspect.signature(visattn.audit).parameters
    assert list(parameters) == ["model", "dataset", *(field.name for field in fields(AuditOptions))]
    for field in fields(AuditOptions):
        assert parameters[field.name].default == field.default
        assert visattn.audit.__doc__.count(f"\n    {field.name}: ") == 1
    assert "**options" not in visattn.audit.__doc__
    assert "a function of pictures in" in visattn.audit.__doc__  # its own words for mask_model


def test_the_command_has_the_same_but_for_the_bar():
    shown = inspect.signature(COMMANDS["audit"]).parameters
    names = [field.name for field in fields(AuditOptions) if field.name != "progress"]
    assert list(shown) == ["model", "data", *names, "out"]
    assert all(shown[name].default == getattr(AuditOptions(), name) for name in names)
    assert "progress" not in COMMANDS["audit"].__doc__


def test_an_option_that_is_not_there_names_the_nearest(toy, reads_object):
    with pytest.raises(TypeError, match="no option 'splt'; did you mean split"):
        visattn.audit(reads_object, toy, splt="test")
    assert visattn.audit(model=reads_object, dataset=toy, size=16, limit=3, progress=False)


def test_options_need_no_torch():
    code = "import sys, visattn.auditing.options; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
