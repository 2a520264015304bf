#!/usr/bin/env python3
"""A roofline on paper for the hot operations at the sizes of a large model, bf16: bytes and FLOPs of kernels/cost.h, launches and their blocks from
the launchers themselves (BUILD/tests/launch_costs, which runs no kernel), blocks per multiprocessor from nvcc's registers.

    kernel-roofline.py BUILD [--markdown]

A time is the larger of two: bytes at the machine's reachable bandwidth, FLOPs at what mma.sync reaches there, divided by the share of the
multiprocessors that have work (waves), the harmonic mean over launches. Bytes are those of arguments and results: scratch between kernels of an
operation, barriers and waiting are not in it, so it is a bound; docs/gpu.md has what is expected beyond it."""
import argparse
import importlib.util
import math
import os
import re
import sys

# name, target, multiprocessors, bytes per second, FLOPs per second of products; of a sum of elements
MACHINES = [("H200", 90, 132, 4.3e12, 470e12, 55e12), ("A100", 80, 108, 1.7e12, 250e12, 17e12)]
WITH_PRODUCTS = ("recur", "level", "attn", "gemm")


def resources():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kernel-resources.py")
    spec = importlib.util.spec_from_file_location("kernel_resources", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def registers_of(res, build):
    """{(kernel, target): registers}"""
    found = {}
    for name in sorted(os.listdir(os.path.join(build, "cuda"))):
        if name.endswith(".o"):
            for target, elf in res.cubins(os.path.join(build, "cuda", name)):
                kernels = res.kernels_of_cubin(elf)
                for kernel, values in zip(res.demangled(kernels), kernels.values()):
                    found[kernel, target] = values[0]
    return found


def operations(res, program):
    """[(case, operation, flops, bytes, [(kernel, threads, shared, blocks)])]"""
    launches, text = res.launch_list(program)
    lines = [line.split("|") for line in text.splitlines()]
    ends = [int(line[2]) for line in lines[1:]] + [len(launches)]
    return [(case, op, float(flops), float(size), launches[int(begin) : end]) for (case, op, begin, flops, size), end in zip(lines, ends)]


def busy(blocks, per_sm, sms):
    """Share of the machine that has work, over the waves of a launch; 0 where a block does not fit."""
    room = per_sm * sms
    return blocks / (math.ceil(blocks / room) * room) if room else 0


def matters(launch, launches):
    """Lists and sums of parts are small beside the rest."""
    return launch[3] >= min(64, max(k[3] for k in launches))


def bound(res, registers, operation, machine):
    """(ms, what limits it, {launch: blocks per multiprocessor})"""
    _, op, flops, size, launches = operation
    _, target, sms, bandwidth, products, elements = machine
    per_sm = {k: res.blocks_per_sm(target, registers.get((k[0], target), 64), k[1], k[2])[0] for k in launches}
    shares = [busy(k[3], per_sm[k], sms) for k in launches if matters(k, launches)]
    if not all(shares):
        return math.inf, "does not start", per_sm
    by_bytes, by_flops = size / bandwidth, flops / (products if op.startswith(WITH_PRODUCTS) else elements)
    limit = "bytes" if by_bytes >= by_flops else "products" if op.startswith(WITH_PRODUCTS) else "FLOPs"
    return 1e3 * max(by_bytes, by_flops) * sum(1 / s for s in shares) / max(len(shares), 1), limit, per_sm


def short(name):
    name = name.replace("unsigned short", "bf16").replace("half_product", "bf16").replace("_kernel", "")
    return re.sub(r"<bf16>$", "", name)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("build")
    options.add_argument("--program", help="launch_costs (default: BUILD/tests/launch_costs)")
    options.add_argument("--markdown", action="store_true")
    given = options.parse_args()
    if not os.path.isdir(os.path.join(given.build, "cuda")):
        print("no objects of nvcc in %s: this build left the device cuda out" % given.build)
        return 77
    res = resources()
    registers = registers_of(res, given.build)
    form = "| %s | %s | %s | %s | %s |" if given.markdown else "%-16s %8s %8s  %-34s  %s"
    last = None
    for operation in operations(res, given.program or os.path.join(given.build, "tests", "launch_costs")):
        case, op, flops, size, launches = operation
        if case != last:
            print("\n%s\n" % case)
            print(form % ("operation", "GB", "GFLOP", "ms at least: H200, A100; limit", "launches: blocks × threads, per SM on H200, A100"))
            if given.markdown:
                print("|---|---|---|---|---|")
            last = case
        bounds = [bound(res, registers, operation, m) for m in MACHINES]
        times = "%.3f, %.3f; %s, %s" % (bounds[0][0], bounds[1][0], bounds[0][1], bounds[1][1])
        rows = []
        for name in dict.fromkeys(k[0] for k in launches):
            mine = [k for k in launches if k[0] == name]
            k = max(mine, key=lambda k: k[3])
            if matters(k, launches):
                times_said = "%d of " % len(mine) if len(mine) > 1 else ""
                rows.append("%s`%s` %d × %d, %d, %d" % (times_said, short(name), k[3], k[1], bounds[0][2][k], bounds[1][2][k]))
        print(form % (op, "%.3g" % (size / 1e9), "%.3g" % (flops / 1e9), times, "; ".join(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
