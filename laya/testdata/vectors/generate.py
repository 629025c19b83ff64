"""Writes the head vectors of this folder: an implementation of the heads that shares nothing with the Go code.

It follows the equations of the paper (arXiv 2511.12723, section 3.1) and of package laya's documentation in batched
numpy, float64, with the direct softmax. Weights and taps are rounded to three decimals first, so that the files hold
exactly what the answers were computed from. Run, with numpy 2 (the committed files: Python 3.11, numpy 2.4):

    python generate.py
"""

import json
import math
import pathlib

import numpy as np

erf = np.vectorize(math.erf)


def gelu(x):
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def rms_norm(x):
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6)


def layer_norm(x, gain, bias):
    variance = x.var(axis=-1, keepdims=True)
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(variance + 1e-5) * gain + bias


def softmax(t):
    e = np.exp(t - t.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def shapes(c, dims):
    """Name and shape of every weight of the head c."""
    kind, classes, d, w = c["kind"], c["classes"], c.get("dim"), c.get("hidden")
    reads, s = c["reads"], {}

    def dense(name, inputs, outputs):
        s[f"head.{name}.kernel"], s[f"head.{name}.bias"] = (inputs, outputs), (outputs,)

    for depth, width in zip(reads, dims):
        if kind == "linear":
            dense(f"{depth}.classifier", width, classes)
        elif kind != "lastlayer":
            dense(f"{depth}.adapter", width, d)
        if kind == "prefix":
            s[f"head.{depth}.score.embedding"], s[f"head.{depth}.score.bias"] = (w,), (1,)
            if c.get("tap_norm"):
                s[f"head.{depth}.norm.gain"] = s[f"head.{depth}.norm.bias"] = (width,)
            if c.get("value_norm"):
                s[f"head.{depth}.value.gain"] = (d,)
            if c.get("exit_scale"):
                s[f"head.{depth}.exit.scale"], s[f"head.{depth}.exit.bias"] = (1,), (classes,)
            if c.get("correction"):
                s[f"head.{depth}.exit.correction"] = (d, d)
    if c.get("psi") == "mlp":
        dense("psi.0", d, d)
        dense("psi.1", d, d)
    if kind == "prefix":
        s["head.score.kernel"], s["head.score.vector"] = (d, w), (w, 1)
    if kind == "joint":
        dense("score.0", len(reads) * d, w)
        dense("score.1", w, len(reads))
    if kind == "concat":
        dense("mlp", len(reads) * d, w)
    if kind == "scalarmix":
        s["head.scores"] = (len(reads),)
    if kind != "linear":
        dense("classifier", {"lastlayer": dims[-1], "concat": w}.get(kind, d), classes)
    return s


def exits(c, weights, taps):
    """Logits and attention of the head c at each of its exits."""
    affine = lambda x, name: x @ weights[f"head.{name}.kernel"] + weights[f"head.{name}.bias"]
    kind, reads = c["kind"], c["reads"]
    if kind == "lastlayer":
        return [(affine(taps[-1], "classifier"), None)]
    if kind == "linear":
        return [(affine(h, f"{depth}.classifier"), None) for depth, h in zip(reads, taps)]
    z = []
    for depth, h in zip(reads, taps):
        if c.get("tap_norm"):
            h = layer_norm(h, weights[f"head.{depth}.norm.gain"], weights[f"head.{depth}.norm.bias"])
        h = affine(h, f"{depth}.adapter")
        h = gelu(h) if c.get("gelu") else h
        z.append(rms_norm(h) * weights[f"head.{depth}.value.gain"] if c.get("value_norm") else h)
    z = np.stack(z, axis=1)  # [batch, reads, d*]
    u = gelu(affine(gelu(affine(z, "psi.0")), "psi.1")) if c.get("psi") == "mlp" else z
    flat = lambda x: x.reshape(len(x), -1)
    if kind == "concat":
        return [(affine(gelu(affine(flat(z), "mlp")), "classifier"), None)]
    if kind == "joint":
        alpha = softmax(affine(gelu(affine(flat(u), "score.0")), "score.1") / c["tau"])
        return [(affine(np.einsum("bl,bld->bd", alpha, z), "classifier"), alpha)]
    if kind == "scalarmix":
        alpha = np.tile(softmax(weights["head.scores"]), (len(z), 1))
        return [(affine(np.einsum("bl,bld->bd", alpha, z), "classifier"), alpha)]
    embeddings = np.stack([weights[f"head.{depth}.score.embedding"] for depth in reads])
    biases = np.concatenate([weights[f"head.{depth}.score.bias"] for depth in reads])
    hidden = gelu(rms_norm(u) @ weights["head.score.kernel"] + embeddings)
    scores = (hidden @ weights["head.score.vector"])[..., 0] + biases
    answers = []
    for k, depth in enumerate(reads, start=1):
        alpha = softmax(scores[:, :k] / c["tau"])
        h = np.einsum("bl,bld->bd", alpha, z[:, :k])
        if c.get("correction"):
            h = h + h @ weights[f"head.{depth}.exit.correction"]
        logits = affine(h, "classifier")
        if c.get("exit_scale"):
            logits = logits * weights[f"head.{depth}.exit.scale"] + weights[f"head.{depth}.exit.bias"]
        answers.append((logits, alpha))
    return answers


def main():
    prefix = {"kind": "prefix", "reads": [0, 2, 3], "classes": 3, "dim": 4, "tau": 0.8, "hidden": 3, "psi": "identity"}
    switches = {"psi": "mlp", "tap_norm": "layer", "gelu": True, "value_norm": True, "exit_scale": True, "correction": True}
    joint = {"kind": "joint", "reads": [1, 2, 3], "classes": 3, "dim": 4, "tau": 1.5, "hidden": 5, "psi": "identity"}
    cases = {
        "prefix": prefix,
        "prefix-all": {**prefix, **switches},
        "joint": joint,
        "joint-psi": {**joint, "psi": "mlp"},
        "concat": {"kind": "concat", "reads": [1, 2, 3], "classes": 3, "dim": 4, "hidden": 5},
        "scalarmix": {"kind": "scalarmix", "reads": [1, 2, 3], "classes": 3, "dim": 4},
        "lastlayer": {"kind": "lastlayer", "reads": [3], "classes": 3},
        "linear": {"kind": "linear", "reads": [0, 2, 3], "classes": 3},
    }
    rng = np.random.default_rng(20251116)
    draw = lambda shape: np.round(rng.normal(0, 0.7, shape), 3)
    for name, c in cases.items():
        dims = [5, 4, 6][-len(c["reads"]) :]
        weights = {n: draw(shape) for n, shape in shapes(c, dims).items()}
        taps = [draw((2, d)) for d in dims]
        answers = [
            {"logits": logits.round(9).tolist(), "alpha": None if alpha is None else alpha.round(9).tolist()}
            for logits, alpha in exits(c, weights, taps)
        ]
        file = {
            "config": c,
            "tap_dims": dims,
            "weights": {n: {"dims": list(w.shape), "values": w.flatten().tolist()} for n, w in weights.items()},
            "taps": [t.tolist() for t in taps],
            "exits": answers,
        }
        lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in file.items())
        path = pathlib.Path(__file__).with_name(name + ".json")
        path.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
