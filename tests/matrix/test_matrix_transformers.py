from matrix.architectures import Architecture
from matrix.transformers import BESIDE, check, page, size_of, smallest

VIT, CNN, COAT = (
    Architecture(*names)
    for names in (("vision_transformer", "test_vit"), ("resnet", "test_resnet"), ("x", "coat_tiny"))
)


def test_an_architecture_is_recorded_and_compared():
    entry = check(VIT)
    assert (entry.layers, entry.placed, entry.held, entry.refused) == (6, 6, 0, {})
    assert entry.sound
    text = page([entry], head="Made here.")
    assert "Of 1 families with softmax attention between places, 1 have" in text
    assert "| vision_transformer | test_vit | 6 | 6 | 0 |" in text


def test_what_has_no_such_attention_is_told_with_the_reason():
    entry = check(BESIDE[0])
    assert (entry.layers, entry.same) == (0, True)
    (reason,) = entry.refused
    assert "no attention of its own by a softmax of queries and keys" in reason
    assert f"- mobilevitv2_050 (1): {reason}." in page([entry], head="")


def test_the_smallest_of_each_family_with_attention_is_taken():
    assert size_of(CNN) == (CNN, None)
    larger, (_, size) = Architecture("vision_transformer", "test_vit2"), size_of(VIT)
    assert smallest([(larger, size + 1), (VIT, size), (CNN, None)]) == [VIT]
