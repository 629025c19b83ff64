"""Writes bundle/ from docs/format.md alone, and answers.json, what numpy says its network answers.

    pip install numpy safetensors && python make.py

A test opens the bundle with `layarun predict --json --explain` and compares. erf is math.erf, all else float64 numpy.
"""
import hashlib, json, math, os
import numpy as np
from safetensors.numpy import save

# --- a bundle by hand -------------------------------------------------------------------------------------------------
rng = np.random.default_rng(7)
F, W, D, H, C = 4, 6, 5, 7, 3  # features, width, d*, scorer's width, classes
backbone = {"kind": "mlp", "input": [F], "widths": [W, W], "norm": "layer", "epsilon": 0.001, "residual": True}
head = {"kind": "prefix", "reads": [0, 1, 2], "classes": C, "dim": D, "tau": 0.7, "hidden": H, "psi": "identity",
        "gelu": True, "exit_scale": True, "correction": True}
shapes = {"stem.mean": [F], "stem.std": [F], "head.score.kernel": [D, H], "head.score.vector": [H, 1],
          "head.classifier.kernel": [D, C], "head.classifier.bias": [C]}
for k, n in ((1, F), (2, W)):
    shapes |= {f"block.{k}.dense.kernel": [n, W], f"block.{k}.dense.bias": [W], f"block.{k}.norm.gain": [W], f"block.{k}.norm.bias": [W]}
for k, n in ((0, F), (1, W), (2, W)):
    shapes |= {f"head.{k}.adapter.kernel": [n, D], f"head.{k}.adapter.bias": [D], f"head.{k}.score.embedding": [H], f"head.{k}.score.bias": [1],
               f"head.{k}.exit.scale": [1], f"head.{k}.exit.bias": [C], f"head.{k}.exit.correction": [D, D]}
w = {n: rng.normal(0, 0.7, s).astype(np.float32) for n, s in shapes.items()}
w["stem.std"] = np.abs(w["stem.std"]) + 0.5
files = {"weights.safetensors": save(w)}
manifest = {"format": 1, "name": "byhand", "created_by": "make.py", "backbone": backbone, "head": head, "classes": ["a", "b", "c"],
            "input": {"kind": "vector", "shape": [F]},
            "files": {n: {"sha256": hashlib.sha256(d).hexdigest(), "size": len(d)} for n, d in files.items()}}
os.makedirs("bundle", exist_ok=True)
for name, data in (files | {"manifest.json": json.dumps(manifest, indent=1).encode()}).items():
    open(os.path.join("bundle", name), "wb").write(data)

# --- the same network in numpy ----------------------------------------------------------------------------------------
w = {n: v.astype(np.float64) for n, v in w.items()}
gelu = lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
softmax = lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def block(k, h):
    y = h @ w[f"block.{k}.dense.kernel"] + w[f"block.{k}.dense.bias"]
    y = (y - y.mean()) / np.sqrt(y.var() + backbone["epsilon"])
    y = gelu(y * w[f"block.{k}.norm.gain"] + w[f"block.{k}.norm.bias"])
    return h + y if h.shape == y.shape else y


def read(k, h):
    z = gelu(h @ w[f"head.{k}.adapter.kernel"] + w[f"head.{k}.adapter.bias"])
    key = z / np.sqrt((z * z).mean() + 1e-6)
    s = gelu(key @ w["head.score.kernel"] + w[f"head.{k}.score.embedding"]) @ w["head.score.vector"] + w[f"head.{k}.score.bias"]
    return z, s[0]


def answer(x):
    h = (x - w["stem.mean"]) / w["stem.std"]
    reads = [read(0, h)]
    for k in (1, 2):
        h = block(k, h)
        reads.append(read(k, h))
    z, s = np.array([z for z, _ in reads]), np.array([s for _, s in reads])
    alpha = softmax(s / head["tau"])
    mixed = alpha @ z
    mixed = mixed + mixed @ w["head.2.exit.correction"]
    logits = (mixed @ w["head.classifier.kernel"] + w["head.classifier.bias"]) * w["head.2.exit.scale"] + w["head.2.exit.bias"]
    return {"x": x.tolist(), "probabilities": softmax(logits).tolist(), "alpha": alpha.tolist()}


json.dump([answer(np.round(rng.normal(0, 1, F), 3)) for _ in range(5)], open("answers.json", "w"), indent=1)
