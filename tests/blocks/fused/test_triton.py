"""Triton's kernels for gates; no GPU is needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")


@pytest.mark.parametrize("chosen", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_the_kernels_are_the_formula_by_the_interpreter(chosen, pytestconfig):
    # Triton's own functions are interpreted only where it is so from the start.
    cases = Path(__file__).with_name("triton_cases.py")
    given = [f"-W{words}" for words in pytestconfig.getoption("pythonwarnings") or ()]
    words = ["-q", "-p", "no:cacheprovider", "-m", chosen, *given, str(cases)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout


@pytest.mark.slow
def test_every_kernel_compiles_for_a_gpu_that_is_not_here():
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from visattn.blocks.fused import triton_kernels

    target, options = GPUTarget("cuda", 90, 32), {"enable_fp_fusion": False}
    maps = {"u_ptr", "d_ptr", "y_ptr", "du_ptr", "like_ptr"}
    for name in ("_moments", "_tops", "_pools", "_gate", "_channel_sums", "_of_map"):
        kernel = getattr(triton_kernels, name)
        signature, constants = {}, {}
        for place, argument in enumerate(kernel.arg_names):
            if argument.isupper() and len(argument) > 1:
                signature[argument] = "constexpr"
                constants[(place,)] = {"BC": 4, "BP": 128}.get(argument, True)
            elif argument.endswith("_ptr"):
                signature[argument] = "*bf16" if argument in maps else "*fp32"
            else:
                signature[argument] = "i32"
        source = ASTSource(kernel, signature, constants)
        assert "ptx" in triton.compile(source, target=target, options=options).asm
