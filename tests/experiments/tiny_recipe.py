"""A recipe that trains in a second, for comparisons."""

RECIPE = """
name: {name}
trainer: {{max_epochs: 1, accelerator: cpu}}
model:
  backbone: resnet10t
  backbone_options: {{channels: [4, 4, 4, 4], stem_width: 4}}
  attention: {attention}
data:
  class_path: SushiData
  init_args:
    size: 32
    train: 16
    val: 8
    test: 24
    variants: [original, mixed_same, mixed_rand, mixed_new, only_bg]
    kinds: [buri, maguro]
    batch_size: 8
    workers: 0
    augmentation: null
"""
MASK = "{block: spatial_mask, at: image, init: paper}"
