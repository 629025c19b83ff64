"""Writes the checkpoints beside this file and what the reference makes of them.

    python -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python make.py [name ...]
    venv/bin/python make.py FOLDER      # writes expected.safetensors and texts.json beside a real text model

Each folder holds a tiny network with random weights, saved by transformers itself, and expected.safetensors: the ids of
some texts or some images (of a ViT the pictures stand elsewhere), the hidden states of every depth and the logits. Weights are far from their usual starts, so
that no term of the computation is too small to be seen. The same versions write the same bytes.
"""
import json
import pathlib
import shutil
import sys

import numpy as np
import torch
import transformers as hf
from PIL import Image
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
TEXTS = ["the cat sat on the mat", "Caf\u00e9, d\u00e9j\u00e0 vu!", "a", "\u4e2d\u6587 cat \U0001f600 unaffable"]
WORDS = ["the", "cat", "sat", "on", "mat", "cafe", "deja", "vu", "a", "un", "##aff", "##able", ",", "!", "\u4e2d", "c", "##t", "##s"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZES = dict(vocab_size=len(SPECIAL + WORDS) + 2, hidden_size=12, num_hidden_layers=2, num_attention_heads=3,
             intermediate_size=20, max_position_embeddings=24)  # no two sizes are equal
LABELS = dict(id2label={0: "no", 1: "perhaps", 2: "yes"}, label2id={"no": 0, "perhaps": 1, "yes": 2})


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        scale = 0.5 if p.dim() > 1 else 0.2
        p.data = scale * noise + (1 if "norm" in name.lower() and name.endswith("weight") else 0)
    return model.eval()


def save(name, model, **options):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, **options)
    return folder


def vocabulary(folder, **options):
    (folder / "vocab.txt").write_text("\n".join(SPECIAL + WORDS) + "\n")
    tokenizer = hf.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=24, **options)
    tokenizer.save_pretrained(folder)
    for extra in ["special_tokens_map.json", "vocab.txt"]:
        (folder / extra).unlink(missing_ok=True)
    return tokenizer


def expect(folder, model, inputs, kept):
    """Runs the reference; kept are the arrays of the input to write down."""
    with torch.no_grad():
        out = model(**inputs, output_hidden_states=True)
    arrays = {"input." + k: v.numpy().astype(np.float32) for k, v in inputs.items() if k in kept}
    for k, state in enumerate(out.hidden_states):
        arrays["state.%d" % k] = state.numpy()
    if "logits" in out:
        arrays["logits"] = out.logits.numpy()
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, folder / "expected.safetensors")


def texts(folder, model, tokenizer):
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt", return_token_type_ids=False)
    (folder / "texts.json").write_text(json.dumps(TEXTS) + "\n")
    expect(folder, model, inputs, ["input_ids", "attention_mask"])


def bert():
    model = randomise(hf.BertForSequenceClassification(hf.BertConfig(**SIZES, **LABELS)), 1)
    folder = save("bert", model)
    texts(folder, model, vocabulary(folder))


def minilm():
    """An encoder without a head, in float16 and several shards, with vocab.txt alone and the files of sentence-transformers."""
    model = randomise(hf.BertModel(hf.BertConfig(**SIZES, hidden_act="gelu_new")), 2).half().float()
    folder = save("minilm", model.half(), max_shard_size="5KB")
    tokenizer = vocabulary(folder, do_lower_case=False)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(SPECIAL + WORDS) + "\n")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 16, "do_lower_case": false}\n')
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        '{"word_embedding_dimension": 12, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}\n')
    texts(folder, model.float(), tokenizer)


def distilbert():
    config = hf.DistilBertConfig(vocab_size=SIZES["vocab_size"], max_position_embeddings=24, n_layers=2, n_heads=3, dim=12,
                                 hidden_dim=20, sinusoidal_pos_embds=True, **LABELS)
    model = randomise(hf.DistilBertForSequenceClassification(config), 3).bfloat16().float()
    folder = save("distilbert", model.bfloat16())
    texts(folder, model.float(), vocabulary(folder, strip_accents=False))


def byte_tokenizer(folder):
    data = HERE.parent.parent / "internal" / "token" / "testdata" / "bytes.json"
    tokenizer = hf.RobertaTokenizerFast(tokenizer_file=str(data), model_max_length=20)
    tokenizer.save_pretrained(folder)
    for extra in ["special_tokens_map.json", "vocab.json", "merges.txt"]:
        (folder / extra).unlink(missing_ok=True)
    return tokenizer


def roberta():
    sizes = SIZES | dict(vocab_size=500, max_position_embeddings=23, hidden_size=6, num_attention_heads=2)
    config = hf.RobertaConfig(**sizes, type_vocab_size=1, layer_norm_eps=1e-5, **LABELS)
    model = randomise(hf.RobertaForSequenceClassification(config), 4)
    folder = save("roberta", model)
    texts(folder, model, byte_tokenizer(folder))


class Basic(torch.nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(out)
        self.conv2 = torch.nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(out)
        self.stride, self.more = stride, out - channels

    def forward(self, x):
        h = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        x = torch.nn.functional.pad(x[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        return torch.relu(h + x)


class CIFARResNet(torch.nn.Module):
    """The network of He et al. 2016, section 4.2, with the names of common PyTorch code; states are channels last, as ours."""

    def __init__(self, widths, blocks, classes):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(widths[0])
        before = widths[0]
        for stage, width in enumerate(widths):
            layers = [Basic(before if i == 0 else width, width, 2 if i == 0 and stage > 0 else 1) for i in range(blocks)]
            setattr(self, "layer%d" % (stage + 1), torch.nn.Sequential(*layers))
            before = width
        self.linear = torch.nn.Linear(before, classes)

    def forward(self, pixels, output_hidden_states):
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        x = ((pixels - mean) / std).permute(0, 3, 1, 2)
        x = torch.relu(self.bn1(self.conv1(x)))
        states = [x]
        for block in [*self.layer1, *self.layer2, *self.layer3]:
            states.append(block(states[-1]))
        logits = self.linear(states[-1].mean((2, 3)))
        few = [s.permute(0, 2, 3, 1)[:, ::5, ::3] for s in states]  # some of the places: the file stays small
        return hf.utils.ModelOutput(hidden_states=few, logits=logits)


def resnet():
    model = randomise(CIFARResNet([2, 4, 6], 2, 3), 5)
    generator = torch.Generator().manual_seed(6)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.3, generator=generator)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2, generator=generator)
    folder = HERE / "resnet"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    save_file({k: v.numpy() for k, v in model.state_dict().items()}, folder / "weights.safetensors")
    expect(folder, model, {"pixels": torch.rand(2, 32, 32, 3, generator=generator)}, ["pixels"])
    (folder / "expected.safetensors").rename(HERE / "resnet.safetensors")


PICTURES = ["large.png", "tall.png", "grey.png"]  # in picture/testdata, whose make.py draws them


def pictures(folder, model, processor):
    processor.save_pretrained(folder)
    images = [Image.open(HERE.parent.parent / "picture" / "testdata" / name).convert("RGB") for name in PICTURES]
    expect(folder, model, processor(images, return_tensors="pt"), [])


def vit_config(**options):
    return hf.ViTConfig(hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20, image_size=[16, 24],
                        patch_size=8, **options)


def vit():
    model = randomise(hf.ViTForImageClassification(vit_config(**LABELS)), 7)
    pictures(save("vit", model), model, hf.ViTImageProcessor(size=dict(height=16, width=24)))


def deit():
    """A ViT without a head and without some biases, in float16, for pictures that are scaled and cropped."""
    config = vit_config(qkv_bias=False, hidden_act="gelu_new", layer_norm_eps=1e-6)
    model = randomise(hf.ViTModel(config), 8).half().float()
    folder = save("deit", model.half())
    pictures(folder, model.float(), hf.DeiTImageProcessor(
        size=dict(height=19, width=28), crop_size=dict(height=16, width=24), image_mean=[0.4, 0.5, 0.6], image_std=[0.25, 0.3, 0.2]))


FAMILIES = {f.__name__: f for f in [bert, minilm, distilbert, roberta, resnet, vit, deit]}


def reference(folder):
    """What transformers makes of texts with a real checkpoint; see acceptance_test.go."""
    texts(folder, hf.AutoModel.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder))


if __name__ == "__main__":
    for name in sys.argv[1:] or FAMILIES:
        if name not in FAMILIES:
            reference(pathlib.Path(name))
            continue
        FAMILIES[name]()
        for path in HERE.rglob("*.safetensors"):
            path.chmod(0o644)
