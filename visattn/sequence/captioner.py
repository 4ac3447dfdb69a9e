"""From an image to a sentence: a decoder that looks at the places of a network's map."""

from typing import final

import torch
from torch import Tensor, nn

from visattn.attention import (
    AdditiveScore,
    Attention,
    SampledInTraining,
    sine_positions_2d,
    softmax,
)
from visattn.sequence.decoder import Decoded, Decoder
from visattn.sequence.encoder import CellName, Encoded


@final
class Captioner(nn.Module):
    """A map of features, and a decoder that reads one word after the other from its places.

    Keys and values are the places' features with a sine position encoding. Soft attention reads a
    mean over the places; hard attention reads one place, which is sampled in training and the
    likeliest in evaluation.

    Args:
        features: Any module from images (N, 3, H, W) to a map (N, C, h, w), wrapped or not.
        channels: C.
        words: Size of the vocabulary.
        hard: Hard attention.
        expected: Share of the steps of hard attention that read the mean in training; see
            `SampledInTraining`.
        embedding: Width of the words' vectors.
        hidden: Width of the decoder's state and of the score.
        cell: ``"lstm"`` or ``"gru"``.

    Example:
        >>> model = Captioner(nn.Conv2d(3, 8, 4, stride=4), channels=8, words=9)
        >>> said = model(torch.randn(2, 3, 12, 20), torch.tensor([[3, 4, 2], [5, 2, 0]]))
        >>> said.logits.shape, said.weights.shape
        (torch.Size([2, 3, 9]), torch.Size([2, 3, 15]))

    Source: Xu et al., Show, Attend and Tell, arXiv:1502.03044.
    """

    def __init__(
        self,
        features: nn.Module,
        *,
        channels: int,
        words: int,
        hard: bool = False,
        expected: float = 0.5,
        embedding: int = 32,
        hidden: int = 128,
        cell: CellName = "lstm",
    ) -> None:
        super().__init__()
        self.features = features
        self.norm = nn.LayerNorm(channels)
        self.decoder = Decoder(
            words,
            source_channels=channels,
            attention=Attention(
                AdditiveScore(hidden, channels, hidden=hidden),
                normaliser=SampledInTraining(expected=expected) if hard else softmax,
            ),
            embedding=embedding,
            hidden=hidden,
            cell=cell,
        )

    def encode(self, images: Tensor) -> tuple[Encoded, tuple[int, int]]:
        """The places' features, row by row, and the size (h, w) of the map."""
        found = self.features(images)
        height, width = found.shape[2:]
        places = self.norm(found.flatten(2).transpose(1, 2))
        positions = sine_positions_2d(height, width, places.shape[-1]).flatten(0, 1)
        places = places + positions.to(places)
        lengths = torch.full((len(images),), height * width, device=images.device)
        return Encoded(places, lengths, places.mean(1)), (height, width)

    def forward(self, images: Tensor, target: Tensor, *, forcing: float = 1.0) -> Decoded:
        """Predict every word of a caption (N, T); weights (N, T, h * w)."""
        said: Decoded = self.decoder(self.encode(images)[0], target, forcing=forcing)
        return said

    @torch.no_grad()
    def greedy(self, images: Tensor, *, max_length: int) -> Decoded:
        """Caption images, the likeliest word at every step."""
        return self.decoder.greedy(self.encode(images)[0], max_length=max_length)
