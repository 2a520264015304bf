#!/usr/bin/env python3
"""Our recurrences beside flash-linear-attention's Triton kernels, bf16, in one run on one GPU: milliseconds forward and forward + backward, the
ratio of theirs to ours per row, and its geometric mean.

    compare-fla.py [--hylas build/bin/hylas] [--table cuda] [--shapes BxTxHxD,...] [--mixers NAME,...]

Both are timed alike: the best of some repetitions, each of 10 calls in a row between two waits for the GPU, so that launching counts only where
it takes longer than the kernels. Inputs are those of a trained layer. Where torch, fla or a GPU is missing it says so and ours are timed alone."""
import argparse
import json
import math
import subprocess
import sys
import time

SHAPES = "1x8192x96x128,2x16384x16x128,4x2048x16x128,4x4096x64x128,8x2048x32x256,8x1024x8x64"
MIXERS = {  # the recurrence that `hylas bench kernels` calls so
    "gated_deltanet": "recur scalar delta",
    "kda": "recur vector delta",
    "gla": "recur vector additive",
    "retention": "recur head additive",
    "deltanet": "recur none delta",
}
CALLS, REPETITIONS = 10, 5


def ours(given, mixer, shape):
    """(forward, both) in seconds."""
    command = [given.hylas, "bench", "kernels", "--table", given.table, "--dtype", "bf16", "--shapes", shape, "--only", MIXERS[mixer], "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if not done.stdout:
        sys.exit("%s: exit code %d: %s" % (" ".join(command), done.returncode, done.stderr.strip()))
    row = json.loads(done.stdout)["rows"][0]
    return row["forward_seconds"], row["forward_backward_seconds"], row["wrong"]


def fla_or_why():
    """(torch, {mixer: function of (q, k, v, g, beta)}), or (None, why not)."""
    try:
        import torch
        from fla.ops.delta_rule import chunk_delta_rule
        from fla.ops.gated_delta_rule import chunk_gated_delta_rule
        from fla.ops.gla import chunk_gla
        from fla.ops.kda import chunk_kda
        from fla.ops.retention import chunk_retention
    except ImportError as error:
        return None, str(error)
    if not torch.cuda.is_available():
        return None, "torch sees no GPU"
    return torch, {
        "gated_deltanet": lambda q, k, v, g, beta: chunk_gated_delta_rule(q, k, v, g=g, beta=beta),
        "kda": lambda q, k, v, g, beta: chunk_kda(q, k, v, g=g, beta=beta),
        "gla": lambda q, k, v, g, beta: chunk_gla(q, k, v, g),
        "retention": lambda q, k, v, g, beta: chunk_retention(q, k, v),
        "deltanet": lambda q, k, v, g, beta: chunk_delta_rule(q, k, v, beta),
    }


def best_seconds(torch, call):
    for _ in range(3):  # compiles, tunes
        call()
    best = math.inf
    for _ in range(REPETITIONS):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(CALLS):
            call()
        torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - begin) / CALLS)
    return best


def theirs(torch, function, mixer, shape):
    B, T, H, D = map(int, shape.split("x"))

    def normal(*size):
        return torch.randn(*size, device="cuda", dtype=torch.bfloat16)

    def leaf(x):
        return x.detach().requires_grad_(True)

    q, k = (leaf(torch.nn.functional.normalize(normal(B, T, H, D).float(), dim=-1).bfloat16()) for _ in range(2))
    v, d_o = leaf(normal(B, T, H, D)), normal(B, T, H, D)
    gates = (B, T, H, D) if mixer in ("kda", "gla") else (B, T, H)
    g = leaf(-0.1 * torch.rand(*gates, device="cuda"))
    beta = leaf(torch.rand(B, T, H, device="cuda").bfloat16())
    leaves = [q, k, v] + ([beta] if "delta" in MIXERS[mixer] else []) + ([g] if mixer in ("gated_deltanet", "kda", "gla") else [])

    def forward():
        with torch.no_grad():
            function(q, k, v, g, beta)

    def both():
        torch.autograd.grad(function(q, k, v, g, beta)[0], leaves, d_o)

    return best_seconds(torch, forward), best_seconds(torch, both)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--hylas", default="build/bin/hylas")
    options.add_argument("--table", default="cuda")
    options.add_argument("--shapes", default=SHAPES)
    options.add_argument("--mixers", default=",".join(MIXERS))
    given = options.parse_args()
    torch, functions = fla_or_why()
    if torch is None:
        print("flash-linear-attention is not timed: %s" % functions)
    print("%-15s %-18s %9s %9s %9s %9s %7s %7s" % ("mixer", "B x T x H x D", "fwd ms", "f+b ms", "fla fwd", "fla f+b", "fwd", "f+b"))
    ratios, wrong_rows = [[], []], 0
    for shape in given.shapes.split(","):
        for mixer in given.mixers.split(","):
            fwd, both, wrong = ours(given, mixer, shape)
            line = "%-15s %-18s %9.3f %9.3f" % (mixer, shape, 1e3 * fwd, 1e3 * both)
            wrong_rows += wrong > 0
            if torch is not None:
                other = theirs(torch, functions[mixer], mixer, shape)
                for i, (a, b) in enumerate(zip(other, (fwd, both))):
                    ratios[i].append(a / b)
                line += " %9.3f %9.3f %7.2f %7.2f" % (1e3 * other[0], 1e3 * other[1], ratios[0][-1], ratios[1][-1])
            print(line + (" %d WRONG ELEMENTS" % wrong if wrong else ""), flush=True)
    if torch is None:
        print("ours alone, %d rows with wrong elements" % wrong_rows)
    else:
        means = [math.exp(sum(map(math.log, r)) / len(r)) for r in ratios]
        print("times as fast as fla, geometric mean: forward %.2f, both %.2f; lowest %.2f, %.2f; %d rows with wrong elements"
              % (*means, *map(min, ratios), wrong_rows))
    return 1 if wrong_rows else 0


if __name__ == "__main__":
    sys.exit(main())
