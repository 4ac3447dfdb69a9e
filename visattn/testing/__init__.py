"""The checks that every block and every wrapped model must pass, for third parties too.

Each function returns nothing and raises AssertionError with what was broken::

    from visattn.testing import check_block, check_compiles, check_exports, check_wrapped

    def test_my_block():
        check_block(MyBlock)
        check_exports(MyBlock(16), torch.randn(2, 16, 9, 7))
        check_compiles(MyBlock(16), torch.randn(2, 16, 9, 7))

    def test_my_block_in_a_model():
        check_wrapped(lambda: timm.create_model("resnet18"), MyBlock)

Each promise is a function of its own, in `BLOCK_PROMISES` and `MODEL_PROMISES`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
