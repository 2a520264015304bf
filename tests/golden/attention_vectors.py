#!/usr/bin/env python3
"""attention_vectors.py FOLDER: writes the attention_sinks*.h5 vectors of tests/data/golden, in float64.

One dense softmax over all keys, with the sinks as further columns whose values are zero; gradients by its chain rule.
Inputs are rounded to float32, for which these files are inputs too.
"""
import sys

import h5py
import numpy as np


def attention(q, k, v, sinks, do, scale, window, docs):
    """One row of tokens [T,H,...] cut at docs; key heads already repeated."""
    T, H, N = q.shape[0], q.shape[1], sinks.shape[1]
    t = np.arange(T)
    doc = np.searchsorted(docs, t, side="right")
    seen = (doc[:, None] == doc[None, :]) & (t[None, :] <= t[:, None])
    if window:
        seen &= t[:, None] - t[None, :] < window
    score = np.where(seen, scale * np.einsum("thd,shd->hts", q, k), -np.inf)
    score = np.concatenate([score, np.broadcast_to(sinks[:, None, :], (H, T, N))], axis=2)
    top = score.max(2, keepdims=True)
    lse = top[..., 0] + np.log(np.exp(score - top).sum(2))
    p = np.exp(score - lse[..., None])
    o = np.einsum("hts,shv->thv", p[..., :T], v)
    dp = np.concatenate([np.einsum("thv,shv->hts", do, v), np.zeros((H, T, N))], axis=2)
    ds = p * (dp - (p * dp).sum(2, keepdims=True))
    dq = scale * np.einsum("hts,shd->thd", ds[..., :T], k)
    dk = scale * np.einsum("hts,thd->shd", ds[..., :T], q)
    return {"o": o, "lse": lse.T, "dq": dq, "dk": dk, "dv": np.einsum("hts,thv->shv", p[..., :T], do),
            "dsinks": ds[..., T:].sum(1)}


def make(path, rng, B, T, H, HKV, D, DV, N, scale, window=0, docs=None):
    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32).astype(np.float64)

    t = {"q": draw(B, T, H, D), "k": draw(B, T, HKV, D), "v": draw(B, T, HKV, DV), "sinks": 2 * draw(H, N), "do": draw(B, T, H, DV)}
    rows = []
    for b in range(B):
        k, v = (np.repeat(t[n][b], H // HKV, axis=1) for n in "kv")
        rows.append(attention(t["q"][b], k, v, t["sinks"], t["do"][b], scale, window, docs or [0, T]))
    out = {n: np.stack([r[n] for r in rows]) for n in rows[0]}
    out["dsinks"] = out["dsinks"].sum(0)
    for n in ("dk", "dv"):
        out[n] = out[n].reshape(B, T, HKV, H // HKV, -1).sum(3)
    with h5py.File(path, "w") as f:
        f.attrs["scale"], f.attrs["window"] = scale, window
        for name, value in t.items():
            f[name] = value
        if docs:
            f["cu_seqlens"] = np.array(docs, dtype=np.int64)
        for name, value in out.items():
            f["expected/" + name] = value


folder = sys.argv[1]
rng = np.random.default_rng(11)
make(folder + "/attention_sinks.h5", rng, 2, 37, 3, 3, 6, 5, 4, 0.5)
make(folder + "/attention_sinks_packed.h5", rng, 1, 53, 4, 2, 8, 8, 1, 0.3, window=7, docs=[0, 1, 1, 22, 25, 53])
