"""Attention between a sentence and a sentence, or a sentence and an image.

Encoder, decoder with any attention or none, greedy decoding, and sentences that are generated with
their alignments known: nothing is downloaded, and a word is a token.
"""

from visattn.sequence.clauses import (
    QUESTION,
    clause_vocabularies,
    random_pair,
    random_pairs,
    translated,
)
from visattn.sequence.decoder import Decoded, Decoder
from visattn.sequence.encoder import CellName, Encoded, Encoder
from visattn.sequence.measures import alignment_hits, exact_match
from visattn.sequence.pairs import SentencePair, collate_pairs
from visattn.sequence.translators import (
    AttentionName,
    EncoderDecoder,
    EncoderOnly,
    SequenceModel,
    build_translator,
)
from visattn.sequence.vocabulary import END, PAD, START, Vocabulary

__all__ = [
    "END",
    "PAD",
    "QUESTION",
    "START",
    "AttentionName",
    "CellName",
    "Decoded",
    "Decoder",
    "Encoded",
    "Encoder",
    "EncoderDecoder",
    "EncoderOnly",
    "SentencePair",
    "SequenceModel",
    "Vocabulary",
    "alignment_hits",
    "build_translator",
    "clause_vocabularies",
    "collate_pairs",
    "exact_match",
    "random_pair",
    "random_pairs",
    "translated",
]
