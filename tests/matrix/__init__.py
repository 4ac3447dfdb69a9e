"""Which architectures of timm and torchvision take attention: ``make matrix``.

Every architecture is built without memory, traced and planned. Of each family the smallest one of
every structure is built in full, wrapped at every place that it has, and compared with the plain
model bit for bit. Every block is put into small models of different families, which must keep all
promises of `visattn.testing`.
"""
