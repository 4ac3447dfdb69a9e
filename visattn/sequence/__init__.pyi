from .captioner import Captioner as Captioner
from .clauses import (
    QUESTION as QUESTION,
    clause_vocabularies as clause_vocabularies,
    random_pair as random_pair,
    random_pairs as random_pairs,
    translated as translated,
)
from .copying import (
    CopierName as CopierName,
    build_copier as build_copier,
    copying_batch as copying_batch,
)
from .decoder import (
    Decoded as Decoded,
    Decoder as Decoder,
)
from .encoder import (
    CellName as CellName,
    Encoded as Encoded,
    Encoder as Encoder,
)
from .measures import (
    alignment_hits as alignment_hits,
    exact_match as exact_match,
)
from .pairs import (
    SentencePair as SentencePair,
    collate_pairs as collate_pairs,
)
from .reviews import (
    TAGS as TAGS,
    Review as Review,
    TaggedSentence as TaggedSentence,
    collate_reviews as collate_reviews,
    collate_tagged as collate_tagged,
    random_reviews as random_reviews,
    random_tagged as random_tagged,
    review_vocabulary as review_vocabulary,
)
from .sentence_classifier import (
    Classified as Classified,
    SentenceClassifier as SentenceClassifier,
)
from .tagger import (
    PositionName as PositionName,
    SelfAttentionTagger as SelfAttentionTagger,
    Tagged as Tagged,
)
from .translators import (
    AttentionName as AttentionName,
    EncoderDecoder as EncoderDecoder,
    EncoderOnly as EncoderOnly,
    SequenceModel as SequenceModel,
    build_translator as build_translator,
)
from .vocabulary import (
    END as END,
    PAD as PAD,
    START as START,
    Vocabulary as Vocabulary,
)
