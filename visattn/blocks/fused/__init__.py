"""Gates that keep next to nothing for the backward pass, and rebuild it there.

`visattn.blocks.fused.choice` decides for every call whether the fused or the plain form runs; each
gate's ``forward`` is its plain form. Both give the same numbers, module tree and state dict.

- `switch`: ``visattn.fused(False)``, the plain form for a while;
- `choice`: the one place that decides, and `bare`, what it asks of modules and tensors;
- `function`: the one autograd function: what is kept, and how gradients are had from it;
- `kept`: what PyTorch's functions beside the gate need not keep then;
- `sources`: the map that a gate reads, rebuilt from what is kept of it;
- `doubles`: a block as it was in the forward pass, to run again;
- `formulas`: how a gate and its gradient are computed in few passes of PyTorch's;
- `norm_gates`: the same together with the normalisation, by passes of our own;
- `channels`: the numbers of a channel that it needs;
- `native`, `triton_kernels`: these passes, in C where a compiler is at hand and by Triton on a GPU;
- `library`: the compiled C;
- `small_gates`: the small layers of a gate, and how gradients go back through them;
- `compiled`: what of it runs in the code that ``torch.compile`` makes.
"""
