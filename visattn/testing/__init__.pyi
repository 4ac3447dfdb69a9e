from .block_promises import (
    BLOCK_PROMISES as BLOCK_PROMISES,
    check_block as check_block,
)
from .model_promises import (
    MODEL_PROMISES as MODEL_PROMISES,
    check_wrapped as check_wrapped,
)
from .outputs import enliven as enliven
from .programs import (
    check_compiles as check_compiles,
    check_exports as check_exports,
    check_onnx as check_onnx,
)
