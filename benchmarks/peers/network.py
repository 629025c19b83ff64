"""Opens a bundle from docs/format.md alone and builds its full-depth network in PyTorch: all blocks, and the last answer.

Images are [batch, channels, height, width] here, which is what PyTorch's convolutions take; a bundle's samples have the
channels last.
"""

import json
import math
import pathlib

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F


def load(folder):
    """The manifest of the bundle in folder, and its network in inference mode."""
    folder = pathlib.Path(folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    weights = {name: t.float() for name, t in load_file(folder / "weights.safetensors").items()}
    network = Network(manifest["backbone"], manifest["head"], weights)
    return manifest, network.eval().requires_grad_(False)


class Network(nn.Module):
    """Backbone and head. Answers with the logits at full depth, [batch, classes]."""

    def __init__(self, backbone, head, weights):
        super().__init__()
        kinds = {"resnet": ResNet, "encoder": Encoder}
        require(backbone, "kind", *kinds)
        self.backbone = kinds[backbone["kind"]](backbone, head["reads"], weights)
        weights.update(self.backbone.reordered(weights))
        self.head = PrefixHead(head, weights)

    def forward(self, samples):
        return self.head(self.backbone(samples))


class ResNet(nn.Module):
    """Basic blocks with the batch norm folded. Answers with the taps that the head reads, [batch, width] each."""

    def __init__(self, config, reads, weights):
        super().__init__()
        require(config, "norm", "folded")
        require(config, "tied", None, False)
        self.reads = reads
        self.register_buffer("mean", weights["stem.mean"].view(-1, 1, 1), persistent=False)
        self.register_buffer("std", weights["stem.std"].view(-1, 1, 1), persistent=False)
        self.stem = convolution(weights, "stem.conv", config.get("stem_stride", 1))
        self.blocks = nn.ModuleList()
        rows, columns = (math.ceil(n / config.get("stem_stride", 1)) for n in config["input"][:2])
        self.windows = [(math.ceil(rows / 4), math.ceil(columns / 4))]  # of the tap at each depth
        for stage, spec in enumerate(config["stages"]):
            for first in [True] * (spec["blocks"] > 0) + [False] * (spec["blocks"] - 1):
                stride = 2 if first and stage > 0 else 1
                rows, columns = math.ceil(rows / stride), math.ceil(columns / stride)
                self.blocks.append(Block(weights, f"block.{len(self.blocks) + 1}", stride))
                self.windows.append((math.ceil(rows / 4), math.ceil(columns / 4)))
        self.mix = nn.ParameterDict({str(d): nn.Parameter(weights[f"tap.{d}.mix"]) for d in reads})

    def forward(self, images):
        state = F.relu(self.stem((images - self.mean) / self.std))
        taps = [self.tap(0, state)] if 0 in self.reads else []
        for depth, block in enumerate(self.blocks, 1):
            state = block(state)
            if depth in self.reads:
                taps.append(self.tap(depth, state))
        return taps

    def tap(self, depth, state):
        """At most 4 by 4 windows, flattened in the order channels, rows, columns; the adapters are reordered to match."""
        window, mix = self.windows[depth], self.mix[str(depth)]
        mean = F.avg_pool2d(state, window, ceil_mode=True, count_include_pad=False)
        largest = F.max_pool2d(state, window, ceil_mode=True)
        return (mix * mean + (1 - mix) * largest).flatten(1)

    def reordered(self, weights):
        """What reads the taps, for taps with the channels first."""
        channels = [self.stem.out_channels] + [b.conv2.out_channels for b in self.blocks]
        adapters = {}
        for depth in self.reads:
            name = f"head.{depth}.adapter.kernel"
            kernel = weights[name].view(-1, channels[depth], weights[name].shape[1])  # [places, channels, dim]
            adapters[name] = kernel.transpose(0, 1).reshape(-1, kernel.shape[2])
        return adapters


class Block(nn.Module):
    """ReLU(conv2(ReLU(conv1(h))) + shortcut(h))."""

    def __init__(self, weights, name, stride):
        super().__init__()
        self.stride = stride
        self.conv1 = convolution(weights, name + ".conv1", stride)
        self.conv2 = convolution(weights, name + ".conv2", 1)
        self.shortcut = convolution(weights, name + ".shortcut", stride) if name + ".shortcut.kernel" in weights else None

    def forward(self, state):
        inner = self.conv2(F.relu(self.conv1(state)))
        if self.shortcut is not None:
            return F.relu(inner + self.shortcut(state))
        if self.stride > 1:
            state = state[:, :, :: self.stride, :: self.stride]
        if more := self.conv1.out_channels - self.conv1.in_channels:
            state = F.pad(state, (0, 0, 0, 0, more // 2, more - more // 2))
        return F.relu(inner + state)


class Encoder(nn.Module):
    """A post-norm transformer encoder. Answers with the taps that the head reads, [batch, dim] each."""

    def __init__(self, config, reads, weights):
        super().__init__()
        require(config, "norm", None, "post")
        require(config, "positions", None, "learned")
        require(config, "activation", None, "gelu")
        require(config, "pool", None, "mean")
        for unused in ("pooler", "tied"):
            require(config, unused, None, "", False)
        self.reads, self.pad = reads, config.get("pad_id", 0)
        epsilon = config.get("epsilon", 1e-12)
        self.word = nn.Parameter(weights["stem.word"])
        position = weights["stem.position"]
        if config.get("token_types"):  # every token is of type 0
            position = position + weights["stem.token_type"][0]
        self.position = nn.Parameter(position)
        self.norm = layer_norm(weights, "stem.norm", epsilon)
        self.blocks = nn.ModuleList(
            Layer(weights, f"block.{k}", config.get("heads", 12), epsilon) for k in range(1, config.get("layers", 6) + 1)
        )

    def forward(self, ids):
        mask = ids != self.pad  # [batch, length]
        weight = mask.unsqueeze(2).float()
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1)
        state = self.norm(F.embedding(ids, self.word) + self.position[: ids.shape[1]])
        taps = [(state * weight).sum(1)] if 0 in self.reads else []
        for depth, block in enumerate(self.blocks, 1):
            state = block(state, mask[:, None, None, :])
            if depth in self.reads:
                taps.append((state * weight).sum(1))
        return taps

    def reordered(self, weights):
        return {}


class Layer(nn.Module):
    """Attention and feed-forward layer of an encoder, each followed by its layer norm."""

    def __init__(self, weights, name, heads, epsilon):
        super().__init__()
        self.heads = heads
        for part in ("query", "key", "value", "output"):
            self.add_module(part, linear(weights, f"{name}.attention.{part}"))
        self.up, self.down = linear(weights, name + ".ffn.up"), linear(weights, name + ".ffn.down")
        self.norm1 = layer_norm(weights, name + ".attention.norm", epsilon)
        self.norm2 = layer_norm(weights, name + ".ffn.norm", epsilon)

    def forward(self, state, mask):
        def split(x):  # [batch, heads, length, dim / heads]
            return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

        mixed = F.scaled_dot_product_attention(
            split(self.query(state)), split(self.key(state)), split(self.value(state)), attn_mask=mask
        )
        state = self.norm1(state + self.output(mixed.transpose(1, 2).flatten(2)))
        return self.norm2(state + self.down(F.gelu(self.up(state))))


class PrefixHead(nn.Module):
    """The prefix head's answer at full depth: attention over all depths that it reads."""

    def __init__(self, config, weights):
        super().__init__()
        require(config, "kind", "prefix")
        require(config, "psi", "identity")
        require(config, "tap_norm", None, "", "layer")
        reads, last = config["reads"], config["reads"][-1]
        self.tau, self.gelu = config["tau"], config.get("gelu", False)
        norms = [layer_norm(weights, f"head.{d}.norm", 1e-5) for d in reads if config.get("tap_norm")]
        self.norms = nn.ModuleList(norms or [nn.Identity() for _ in reads])
        self.adapters = nn.ModuleList(linear(weights, f"head.{d}.adapter") for d in reads)
        gains = torch.stack([weights[f"head.{d}.value.gain"] for d in reads]) if config.get("value_norm") else None
        self.gains = None if gains is None else nn.Parameter(gains)
        self.score = nn.Parameter(weights["head.score.kernel"])
        self.embedding = nn.Parameter(torch.stack([weights[f"head.{d}.score.embedding"] for d in reads]))
        self.vector = nn.Parameter(weights["head.score.vector"])
        self.bias = nn.Parameter(torch.stack([weights[f"head.{d}.score.bias"] for d in reads]))
        # Answer of one exit: correction and scale are products with constants, so they go into the classifier.
        kernel, shift = weights["head.classifier.kernel"], weights["head.classifier.bias"]
        if config.get("correction"):
            kernel = (kernel.double() + weights[f"head.{last}.exit.correction"].double() @ kernel.double()).float()
        if config.get("exit_scale"):
            scale = weights[f"head.{last}.exit.scale"]
            kernel, shift = kernel * scale, shift * scale + weights[f"head.{last}.exit.bias"]
        self.classifier = linear({"c.kernel": kernel, "c.bias": shift}, "c")

    def forward(self, taps):
        z = torch.stack([a(n(t)) for t, n, a in zip(taps, self.norms, self.adapters)], 1)  # [batch, reads, dim]
        if self.gelu:
            z = F.gelu(z)
        if self.gains is not None:
            z = rms_norm(z) * self.gains
        scores = F.gelu(rms_norm(z) @ self.score + self.embedding) @ self.vector + self.bias
        alpha = torch.softmax(scores / self.tau, 1)  # [batch, reads, 1]
        return self.classifier((alpha * z).sum(1))


def rms_norm(x):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6)


def linear(weights, name):
    kernel = weights[name + ".kernel"]
    layer = nn.Linear(*kernel.shape)
    layer.weight = nn.Parameter(kernel.t().contiguous())
    layer.bias = nn.Parameter(weights[name + ".bias"])
    return layer


def convolution(weights, name, stride):
    kernel = weights[name + ".kernel"].permute(3, 2, 0, 1).contiguous()  # from [rows, columns, in, out]
    out, into, size, _ = kernel.shape
    layer = nn.Conv2d(into, out, size, stride, padding=size // 2)
    layer.weight, layer.bias = nn.Parameter(kernel), nn.Parameter(weights[name + ".bias"])
    return layer


def layer_norm(weights, name, epsilon):
    gain = weights[name + ".gain"]
    layer = nn.LayerNorm(gain.shape[0], eps=epsilon)
    layer.weight, layer.bias = nn.Parameter(gain), nn.Parameter(weights[name + ".bias"])
    return layer


def require(config, field, *values):
    """Refuses what this program does not build; None stands for a field that is left out."""
    if config.get(field) not in values:
        raise ValueError(f"{field} is {config.get(field)!r}, this program builds {values}")
