"""Writes the tokenizers beside this file and the digests of what the Hugging Face library makes of many texts with them.

    pip install tokenizers==0.22.2
    python compare.py            # wordpiece.json, cased.json, bytes.json and digests.json
    python compare.py DATA       # also 12,000 lines of the data sets in DATA, see acceptance_test.go

A digest is the sha256 of the ids, a line per text, numbers with a space between, at most 64 of them.
"""
import gzip
import hashlib
import json
import pathlib
import random
import sys

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
LENGTH = 64
SAMPLE = ("the quick brown fox jumps over the lazy dog and doesn't stop: it's 3.14 or 2,718 kilometres, they'll say; "
          "un caf\u00e9 d\u00e9j\u00e0 vu, \u00fcber Stra\u00dfe, na\u00efve \u4e2d\u6587 \u65e5\u672c\u8a9e \ud55c\uad6d\uc5b4 \u0440\u0443\u0441\u0441\u043a\u0438\u0439 \u03ac\u03bb\u03c6\u03b1 \U0001f600").split()


def wordpiece(name, **options):
    """Characters alone and inside words, and some words, so that texts are spelt and not unknown."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(c) for c in [*range(0x21, 0x7f), *range(0xa1, 0x180), *range(0x391, 0x3ca), *range(0x410, 0x450)]]
    for piece in [*letters, *["##" + c for c in letters], *SAMPLE, "\u4e2d", "\u6587", "##ing", "##ly", "##\u00e9", "\u0301", "##\u0301", "##\u0307"]:
        if piece not in words:
            words.append(piece)
    t = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = normalizers.BertNormalizer(clean_text=True, **options)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    t.add_special_tokens(words[:5])
    t.save(str(HERE / name))
    return t


def bytelevel(name):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    t.train_from_iterator([" ".join(SAMPLE)] + [" " + w for w in SAMPLE] * 3 + ["  \n\n", "   indented\n"] * 3, trainer)
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    t.save(str(HERE / name))
    return t


def characters():
    """Every character of the planes that have any, inside a word, alone, and after a letter that it might combine with."""
    for c in [*range(1, 0xd800), *range(0xe000, 0x20000), *range(0x2b700, 0x2b930), *range(0xe0000, 0xe0200)]:
        yield "a%sb %s\ne%s" % (chr(c), chr(c), chr(c))


def hard():
    """Random strings of what tokenizers stumble over."""
    rng = random.Random(1)
    parts = ["a", "THE", "don't", "we'll'", "caf\u00e9", "e\u0301", "\u0130stanbul", "\u4e2d\u6587", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u200b", "\u00ad", "\ufeff",
             "\x00", "\x07", "\x85", "\u2028", "\u3000", "\u00a0", " ", "  ", "\n", "\t", "\r\n", "[SEP]", "[MASK]", "[sep]", "<mask>", "<s>", "##ing",
             "123", "\u0663", "\u00bd", "$", "`", "\u2014", "\u201c", "\ufffd", "x" * 99, "y" * 130, "\u1e9b\u0323", "\u03a3\u03a3", "\ud55c\uad6d", "\u1112\u1161\u11ab", "\u0e33", "'S", "'"]
    for _ in range(1500):
        yield "".join(rng.choice(parts) for _ in range(rng.randrange(12)))
    yield "the lazy dog " * 5000
    yield "z" * 20000


def lines(data):
    """The first 3,000 lines of some data sets, as their files have them."""
    for name in ["sst2/train.tsv.gz", "imdb/train.tsv.gz", "agnews/test.csv.gz", "banking77/train.csv.gz"]:
        text = gzip.decompress((pathlib.Path(data) / name).read_bytes()).decode()
        yield from text.split("\n")[:3000]


def digest(t, texts):
    t.no_padding()
    t.enable_truncation(LENGTH)
    h = hashlib.sha256()
    batch = []
    def flush():
        for e in t.encode_batch(batch):
            h.update((" ".join(map(str, e.ids)) + "\n").encode())
        batch.clear()
    for text in texts:
        batch.append(text)
        if len(batch) == 4096:
            flush()
    flush()
    return h.hexdigest()


if __name__ == "__main__":
    all = {
        "wordpiece.json": wordpiece("wordpiece.json", handle_chinese_chars=True, strip_accents=None, lowercase=True),
        "cased.json": wordpiece("cased.json", handle_chinese_chars=False, strip_accents=False, lowercase=True),
        "bytes.json": bytelevel("bytes.json"),
    }
    hard_texts = list(hard())
    with gzip.GzipFile(HERE / "hard.json.gz", "wb", mtime=0) as f:
        f.write(json.dumps(hard_texts).encode())
    digests = {name: {"characters": digest(t, characters()), "hard": digest(t, hard_texts)} for name, t in all.items()}
    old = json.loads((HERE / "digests.json").read_text()) if (HERE / "digests.json").exists() else {}
    for name, t in all.items():
        if len(sys.argv) > 1:
            digests[name]["lines"] = digest(t, lines(sys.argv[1]))
        elif "lines" in old.get(name, {}):
            digests[name]["lines"] = old[name]["lines"]
    (HERE / "digests.json").write_text(json.dumps(digests, indent=1) + "\n")
