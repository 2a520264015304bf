#!/usr/bin/env python3
"""conv_vectors.py FOLDER: writes the conv*.h5 vectors of tests/data/golden, in float64, from the definition token by token.

    o[t] = bias + sum_j w[:,j] x[t-(W-1)+j]       inside a document; before it the state h0 (zeros if there is none)
"""
import sys

import h5py
import numpy as np


def convolve(x, w, bias, h0, do, dht, docs):
    """One row of tokens [T,D] cut at docs. Gradients follow by writing every product down once."""
    D, W = w.shape
    N = len(docs) - 1
    out = {"o": np.zeros_like(x), "dx": np.zeros_like(x), "dw": np.zeros_like(w), "dbias": do.sum(0)}
    out["ht"], out["dh0"] = np.zeros((N, W - 1, D)), np.zeros((N, W - 1, D))
    for d in range(N):
        a, b = docs[d], docs[d + 1]
        before = h0[d] if h0 is not None else np.zeros((W - 1, D))
        rows = np.concatenate([before, x[a:b]])
        drows = np.zeros_like(rows)
        for t in range(b - a):
            out["o"][a + t] = (w.T * rows[t : t + W]).sum(0) + (0 if bias is None else bias)
            drows[t : t + W] += w.T * do[a + t]
            out["dw"] += (do[a + t] * rows[t : t + W]).T
        out["ht"][d] = rows[len(rows) - (W - 1) :]
        if dht is not None:
            drows[len(rows) - (W - 1) :] += dht[d]
        out["dh0"][d], out["dx"][a:b] = drows[: W - 1], drows[W - 1 :]
    return out


def make(path, rng, B, T, D, W, bias=False, docs=None, states=False):
    N = B if docs is None else len(docs) - 1
    t = {"x": rng.normal(size=(B, T, D)), "w": rng.normal(size=(D, W)) / np.sqrt(W), "do": rng.normal(size=(B, T, D))}
    if bias:
        t["bias"] = rng.normal(size=D)
    if states:
        t["h0"], t["dht"] = rng.normal(size=(N, W - 1, D)), rng.normal(size=(N, W - 1, D))
    cuts = [T * i for i in range(B + 1)] if docs is None else docs
    flat = convolve(t["x"].reshape(B * T, D), t["w"], t.get("bias"), t.get("h0"), t["do"].reshape(B * T, D), t.get("dht"), cuts)
    with h5py.File(path, "w") as f:
        for name, value in t.items():
            f[name] = value
        if docs is not None:
            f["cu_seqlens"] = np.array(docs, dtype=np.int64)
        for name, value in flat.items():
            if name == "dbias" and not bias or name == "dh0" and not states:
                continue
            value = value.reshape(B, T, D) if name in ("o", "dx") else value
            f["expected/" + name] = value


folder = sys.argv[1]
rng = np.random.default_rng(7)
make(folder + "/conv.h5", rng, 2, 37, 5, 4)
make(folder + "/conv_bias.h5", rng, 1, 29, 3, 7, bias=True)
make(folder + "/conv_packed.h5", rng, 1, 61, 4, 4, docs=[0, 1, 1, 22, 25, 61])
make(folder + "/conv_states.h5", rng, 1, 45, 3, 9, bias=True, docs=[0, 4, 4, 30, 45], states=True)
make(folder + "/conv_batch_states.h5", rng, 3, 11, 2, 3, states=True)
make(folder + "/conv_wide.h5", rng, 1, 150, 3, 128)
make(folder + "/conv_wide_packed.h5", rng, 1, 203, 2, 257, docs=[0, 90, 203])
