"""Attention between a sentence and a sentence, or a sentence and an image.

Encoder, decoder with any attention or none, greedy decoding, and sentences that are generated with
their alignments known: nothing is downloaded, and a word is a token.
"""

from visattn.sequence.captioner import Captioner
from visattn.sequence.clauses import (
    QUESTION,
    clause_vocabularies,
    random_pair,
    random_pairs,
    translated,
)
from visattn.sequence.copying import CopierName, build_copier, copying_batch
from visattn.sequence.decoder import Decoded, Decoder
from visattn.sequence.encoder import CellName, Encoded, Encoder
from visattn.sequence.measures import alignment_hits, exact_match
from visattn.sequence.pairs import SentencePair, collate_pairs
from visattn.sequence.reviews import (
    TAGS,
    Review,
    TaggedSentence,
    collate_reviews,
    collate_tagged,
    random_reviews,
    random_tagged,
    review_vocabulary,
)
from visattn.sequence.sentence_classifier import Classified, SentenceClassifier
from visattn.sequence.tagger import PositionName, SelfAttentionTagger, Tagged
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
    "TAGS",
    "AttentionName",
    "Captioner",
    "CellName",
    "Classified",
    "CopierName",
    "Decoded",
    "Decoder",
    "Encoded",
    "Encoder",
    "EncoderDecoder",
    "EncoderOnly",
    "PositionName",
    "Review",
    "SelfAttentionTagger",
    "SentenceClassifier",
    "SentencePair",
    "SequenceModel",
    "Tagged",
    "TaggedSentence",
    "Vocabulary",
    "alignment_hits",
    "build_copier",
    "build_translator",
    "clause_vocabularies",
    "collate_pairs",
    "collate_reviews",
    "collate_tagged",
    "copying_batch",
    "exact_match",
    "random_pair",
    "random_pairs",
    "random_reviews",
    "random_tagged",
    "review_vocabulary",
    "translated",
]
