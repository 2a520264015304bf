#!/usr/bin/env python3
"""recurrence_vectors.py FOLDER: writes the rwkv6*.h5, dplr*.h5 and hgrn*.h5 vectors of tests/data/golden, in float64.

Forward token by token from the definition. Gradients by complex steps: the imaginary part of f(x + ih)/h for h = 1e-30 is
exact to rounding, so no derivative is derived here. Inputs are rounded to float32, for which these files are inputs too.
"""
import sys

import h5py
import numpy as np

STEP = 1e-30


def rwkv6(x, S, t, scale):
    r, k, w, v, u = x["r"][t], x["k"][t], x["w"][t], x["v"][t], x["u"]
    kv = k[:, :, None] * v[:, None, :]
    o = scale * np.einsum("hk,hkv->hv", r, S + u[:, :, None] * kv)
    return o, np.exp(w)[:, :, None] * S + kv


def dplr(x, S, t, scale):
    q, k, a, b, g, v = (x[n][t] for n in "qkabgv")
    read = np.einsum("hkv,hk->hv", S, a)
    S = np.exp(g)[:, :, None] * S + b[:, :, None] * read[:, None, :] + k[:, :, None] * v[:, None, :]
    return scale * np.einsum("hkv,hk->hv", S, q), S


def hgrn(x, S, t, scale):
    S = np.exp(x["g"][t]) * S + x["x"][t]
    return scale * S, S


def forward(step, x, docs, state, scale):
    """One row of tokens cut at docs: o [T,...], ht [N,...]."""
    o, ht = [], []
    for d in range(len(docs) - 1):
        S = x["h0"][d] if "h0" in x else np.zeros(state, dtype=complex)
        for t in range(docs[d], docs[d + 1]):
            out, S = step(x, S, t, scale)
            o.append(out)
        ht.append(S + 0j)
    return np.array(o), np.array(ht)


def gradients(step, x, docs, state, scale, do, dht):
    out = {}
    for name in x:
        grad = np.zeros(x[name].shape)
        for at in np.ndindex(grad.shape):
            moved = dict(x)
            moved[name] = x[name].astype(complex)
            moved[name][at] += 1j * STEP
            o, ht = forward(step, moved, docs, state, scale)
            loss = np.sum(o.imag * do) + (np.sum(ht.imag * dht) if dht is not None else 0)
            grad[at] = loss / STEP
        out["d" + name] = grad
    return out


def case(folder, name, step, rows, docs, state, scale, packed, with_states):
    """rows: one dict of inputs per sequence (shared: u). Sums gradients of what the sequences share."""
    file = h5py.File(f"{folder}/{name}.h5", "w")
    expected = []
    N = len(docs) - 1
    heads, width = state[0], state[-1]
    for x in rows:
        if with_states:
            x["h0"] = normal(N, *state)
        do = normal(docs[-1], *((heads,) if len(state) == 1 else (heads, width)))
        dht = normal(N, *state) if with_states else None
        o, ht = forward(step, x, docs, state, scale)
        e = {"o": o.real, "ht": ht.real, **gradients(step, x, docs, state, scale, do, dht)}
        x["do"] = do
        if with_states:
            x["dht"] = dht
        expected.append(e)
    put = lambda group, key, value: group.create_dataset(key, data=value)
    per_document = ("h0", "dht", "ht", "dh0")
    for group, dicts in ((file, rows), (file.create_group("expected"), expected)):
        for key in dicts[0]:
            if key in ("u", "du"):
                put(group, key, dicts[0][key] if key == "u" else sum(d[key] for d in dicts))
            elif key in per_document:
                put(group, key, np.concatenate([d[key] for d in dicts]))
            else:
                put(group, key, np.array([d[key] for d in dicts]))
    if packed:
        put(file, "cu_seqlens", np.array(docs, dtype=np.int64))
    file.attrs["op"], file.attrs["scale"] = step.__name__, scale
    print(name, {k: f"{np.abs(v).max():.3g}" for k, v in expected[0].items()})


rng = np.random.default_rng(7)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32).astype(float)


def unit(*shape):
    x = rng.standard_normal(shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32).astype(float)


def decay(strength, *shape):
    """mild: (-0.5, 0); extreme: -60, 0 and what lies between, side by side."""
    if strength == "mild":
        return (-0.5 * rng.random(shape)).astype(np.float32).astype(float)
    return rng.choice(np.float32([-60, 0, -0.01, -5, 0, -60, -0.3]), shape).astype(float)


def inputs(step, T, H, K, V, strength, u):
    if step is hgrn:
        return {"x": normal(T, H), "g": decay(strength, T, H)}
    if step is rwkv6:
        return {"r": normal(T, H, K), "k": normal(T, H, K), "w": decay(strength, T, H, K), "v": normal(T, H, V), "u": u}
    kappa = unit(T, H, K)
    b = (-kappa * rng.random((T, H, K)) + 0.1 * rng.standard_normal((T, H, K))).astype(np.float32).astype(float)
    x = {"q": normal(T, H, K), "k": unit(T, H, K), "a": kappa, "b": b}
    return {**x, "g": decay(strength, T, H, K), "v": normal(T, H, V)}


def main(folder):
    ragged = [0, 1, 9, 9, 30, 31, 57]
    for step, sizes in ((rwkv6, (2, 5, 3)), (dplr, (2, 4, 5)), (hgrn, (7, 1, 1))):
        H, K, V = sizes
        state = (H,) if step is hgrn else (H, K, V)
        u = normal(H, K)
        name = step.__name__
        row = lambda T, strength: inputs(step, T, H, K, V, strength, u)
        case(folder, name, step, [row(41, "mild")], [0, 41], state, 1.0, False, True)
        case(folder, name + "_batch", step, [row(19, "mild"), row(19, "mild")], [0, 19], state, 1.0, False, False)
        case(folder, name + "_packed", step, [row(57, "mild")], ragged, state, 1.0, True, True)
        case(folder, name + "_extreme_decay", step, [row(57, "extreme")], ragged, state, 1.0, True, True)
    H, K, V = 1, 7, 2
    case(folder, "dplr_scaled", dplr, [inputs(dplr, 33, H, K, V, "mild", None)], [0, 33], (H, K, V), K**-0.5, False, False)


if __name__ == "__main__":
    main(sys.argv[1])
