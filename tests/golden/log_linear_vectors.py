#!/usr/bin/env python3
"""log_linear_vectors.py FOLDER: writes the log_linear*.h5 vectors of tests/data/golden, in float64.

Forward from the definition, as a sum over pairs of tokens: x_s = b_s k_s is carried from s to t by the transitions between them, and
o_t = scale Σ_s l_t[bit length of (t xor s)] (q_t·x_s) v_s. No state, no level and no merge appears. Gradients by complex steps: the
imaginary part of f(x + ih)/h for h = 1e-30 is exact to rounding. Inputs are rounded to float32, for which these files are inputs too.
"""
import sys

import h5py
import numpy as np

STEP = 1e-30
rng = np.random.default_rng(11)


def forward_document(x, first, end, rule, scale):
    """o [T,HV,V] and the last state [HV,K,V] of the document of tokens first..end-1."""
    HV, V = x["v"].shape[1:]
    H, K = x["k"].shape[1:]
    head = np.arange(HV) // (HV // H)
    carried = np.zeros((end - first, HV, K), dtype=complex)
    o = np.zeros((end - first, HV, V), dtype=complex)
    for t in range(end - first):
        k, q = x["k"][first + t][head], x["q"][first + t][head]
        b = x["beta"][first + t] if "beta" in x else np.ones(HV)
        if "g" in x:
            carried[:t] *= np.exp(x["g"] if x["g"].ndim == 1 else x["g"][first + t])[:, None]
        if rule == "delta":
            carried[:t] -= b[:, None] * np.einsum("shk,hk->sh", carried[:t], k)[:, :, None] * k
        carried[t] = b[:, None] * k
        levels = [int(t ^ s).bit_length() for s in range(t + 1)]
        weight = x["l"][first + t][:, levels].T * np.einsum("shk,hk->sh", carried[: t + 1], q)
        o[t] = scale * np.einsum("sh,shv->hv", weight, x["v"][first : first + t + 1])
    return o, np.einsum("shk,shv->hkv", carried, x["v"][first:end])


def forward(x, docs, rule, scale):
    parts = [forward_document(x, docs[d], docs[d + 1], rule, scale) for d in range(len(docs) - 1)]
    return np.concatenate([p[0] for p in parts]), np.array([p[1] for p in parts])


def gradient(x, name, docs, rule, scale, do, dht):
    grad = np.zeros(x[name].shape)
    for at in np.ndindex(grad.shape):
        moved = dict(x)
        moved[name] = x[name].astype(complex)
        moved[name][at] += 1j * STEP
        o, ht = forward(moved, docs, rule, scale)
        grad[at] = (np.sum(o.imag * do) + (np.sum(ht.imag * dht) if dht is not None else 0)) / STEP
    return grad


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32).astype(float)


def unit(*shape):
    x = rng.standard_normal(shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32).astype(float)


def inputs(T, H, HV, K, V, L, g, beta):
    x = {"q": normal(T, H, K), "k": unit(T, H, K), "v": normal(T, HV, V), "l": normal(T, HV, L)}
    if g == "mild":
        x["g"] = (-0.5 * rng.random((T, HV))).astype(np.float32).astype(float)
    elif g == "extreme":
        x["g"] = rng.choice(np.float32([-60, 0, -0.01, -5, 0, -60, -0.3]), (T, HV)).astype(float)
    elif g == "head":
        x["g"] = (-0.2 * rng.random(HV)).astype(np.float32).astype(float)
    if beta:
        x["beta"] = rng.random((T, HV)).astype(np.float32).astype(float)
    return x


def case(folder, name, rows, docs, rule, scale, packed, with_dht):
    """rows: one dict of inputs per sequence; g of shape [HV] is shared, its gradients add up."""
    file = h5py.File(f"{folder}/{name}.h5", "w")
    shared = {"g"} if rows[0].get("g", np.zeros((1, 1))).ndim == 1 else set()
    results = []
    for x in rows:
        if shared:
            x["g"] = rows[0]["g"]
        do = normal(*x["v"].shape)
        HV, V = x["v"].shape[1:]
        dht = normal(len(docs) - 1, HV, x["k"].shape[2], V) if with_dht else None
        o, ht = forward(x, docs, rule, scale)
        e = {"o": o.real, "ht": ht.real, **{"d" + n: gradient(x, n, docs, rule, scale, do, dht) for n in x}}
        results.append((e, do, dht))
    expected = file.create_group("expected")
    for n in rows[0]:
        file[n] = rows[0][n] if n in shared else np.array([x[n] for x in rows])
    file["do"] = np.array([r[1] for r in results])
    if with_dht:
        file["dht"] = np.concatenate([r[2] for r in results])
    for n in results[0][0]:
        values = [r[0][n] for r in results]
        expected[n] = np.concatenate(values) if n == "ht" else sum(values) if n[1:] in shared else np.array(values)
    if packed:
        file["cu_seqlens"] = np.array(docs, dtype=np.int64)
    file.attrs["op"], file.attrs["rule"], file.attrs["scale"] = "log_linear", rule, scale
    print(name, {n: f"{np.abs(v).max():.3g}" for n, v in results[0][0].items()})


def main(folder):
    ragged = [0, 1, 9, 9, 41, 42, 57]  # one of 32 tokens, all that 6 levels reach
    case(folder, "log_linear", [inputs(41, 1, 2, 3, 2, 8, "mild", False)], [0, 41], "additive", 1.0, False, True)
    case(folder, "log_linear_delta", [inputs(45, 2, 2, 3, 4, 7, "mild", True)], [0, 45], "delta", 0.5, False, False)
    case(folder, "log_linear_batch", [inputs(19, 2, 2, 2, 3, 6, "head", False) for _ in range(2)], [0, 19], "additive", 1.0, False, False)
    case(folder, "log_linear_packed", [inputs(57, 1, 2, 3, 3, 6, "mild", True)], ragged, "delta", 1.0, True, True)
    case(folder, "log_linear_extreme_decay", [inputs(57, 1, 1, 4, 3, 6, "extreme", True)], ragged, "additive", 1.0, True, True)


if __name__ == "__main__":
    main(sys.argv[1])
