"""Texts in many scripts, with what makes counting bytes hard, and tokenizers of many kinds."""

import json

from tokenizers import (
    AddedToken,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from tokenizers import Tokenizer as Backend

from nextword.tokenizer.loading import Specials
from nextword.tokenizer.tokenizer import Tokenizer
from nextword.tokenizer.training import KINDS

TEXTS = (
    "the cat sat on the mat",
    "Der Käfig größer als „zehn“ Häuser?",
    "œuvre naïve – ça va déjà",
    "Zażółć gęślą jaźń",
    "мама мыла раму, а кот спал",
    "ο γάτος κοιμάται στον ήλιο",
    "القط ينام تحت الشجرة",
    "بِسْمِ ٱللَّٰهِ",
    "बिल्ली चटाई पर सो रही है",
    "猫坐在垫子上。",
    "猫はマットの上に座った、ｶﾀｶﾅも",
    "고양이가 매트 위에 앉았다",
    "แมวนั่งอยู่บนเสื่อ",
    "החתול ישן על השטיח",
    "🏳️‍🌈 👩‍👩‍👧‍👦 👋🏽 ok",
    "e\u0301a\u0308 n\u0303 Z\u0351\u036b\u0343",
    "line one\nline two\r\n\n\nfour\t tab",
    "   three spaces before and after   ",
    " one",
    "\n",
    "\u00a0no-break\u2003em\u3000wide",
    "zebra yak 12,345.67 %&§",
    "<|end|> <s> </s> <0x41> <unk> [UNK]",
    "\x00\x01\u200b\u2028\ufeff\ufffd",
    "ﬁ ﬂ Ⅷ ½ ﷺ K Å",
    "𝕬𝖇 𐍈 𓀀",
    "",
)


def special(name: str) -> AddedToken:
    return AddedToken(name, special=True, normalized=False)


def _known() -> list[str]:
    """About half of the texts, so that every vocabulary has gaps."""
    return [text for text in TEXTS[::2] if text]


def sentencepiece() -> Backend:
    """A BPE with ▁ for spaces and <0x00> … <0xFF>, as of Llama 2."""
    backend = Backend(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    names = [special(name) for name in ("<unk>", "<s>", "</s>")]
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=names, show_progress=False)
    backend.train_from_iterator(_known()[:4], trainer)
    content = json.loads(backend.to_str())
    vocab = content["model"]["vocab"]
    vocab |= {f"<0x{byte:02X}>": len(vocab) + byte for byte in range(256)}
    backend = Backend.from_str(json.dumps(content))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return backend


def unigram() -> Backend:
    """As of T5 and ALBERT: NFKC, and ▁ before every word."""
    backend = Backend(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150, unk_token="<unk>", show_progress=False,
        special_tokens=[special(name) for name in ("<unk>", "<s>", "</s>")],
    )  # fmt: skip
    backend.train_from_iterator(_known(), trainer)
    return backend


def wordpiece() -> Backend:
    """As of BERT: lower case, accents gone, spaces dropped."""
    backend = Backend(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=200, show_progress=False,
        special_tokens=[special(name) for name in ("[UNK]", "[CLS]", "</s>")],
    )  # fmt: skip
    backend.train_from_iterator(_known(), trainer)
    return backend


def byte_level() -> Backend:
    """As of Qwen: NFC, bytes, offsets without spaces."""
    backend = Backend(models.BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=400, show_progress=False, special_tokens=[special("<s>"), special("</s>")],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    backend.train_from_iterator(_known(), trainer)
    return backend


def _foreign(backend: Backend, unknown: str | None) -> Tokenizer:
    end = backend.token_to_id("</s>")
    assert end is not None
    unknown_id = None if unknown is None else backend.token_to_id(unknown)
    return Tokenizer(backend, Specials(end, end, unknown_id, frozenset({end})))


def tokenizers() -> dict[str, Tokenizer]:
    """All kinds, by name."""
    return {kind: Tokenizer.learn(_known(), kind=kind) for kind in KINDS} | {
        "sentencepiece": _foreign(sentencepiece(), "<unk>"),
        "unigram": _foreign(unigram(), "<unk>"),
        "wordpiece": _foreign(wordpiece(), "[UNK]"),
        "byte level": _foreign(byte_level(), None),
    }
