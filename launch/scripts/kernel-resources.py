#!/usr/bin/env python3
"""What kernels take of a multiprocessor, from the objects that nvcc has built: kernel, target, registers, bytes of local memory per thread
(spilled registers, or arrays), threads and shared memory of a block, blocks per multiprocessor and what limits them.

    kernel-resources.py BUILD [--all] [--bounds FILE]

Threads and shared memory are those of launches, which BUILD/.../launch_shapes makes on the interpreter with heads of 64, 128 and 256 channels;
of a kernel that it does not launch (--all), the most threads that it allows, and no shared memory. With --bounds a line per kernel of FILE,
`REGEX REGISTERS BLOCKS LOCAL`, holds: at most so many registers, at least so many blocks per multiprocessor, at most so many bytes of local
memory, each for all targets or, as 0/64/0, for sm_80, sm_90 and sm_100. Every kernel of the table must have its line. Exit
code 1: a bound is broken. 77: there is nothing to look at, with the reason."""
import argparse
import os
import re
import struct
import subprocess
import sys
import tempfile

# Of a multiprocessor: registers, threads, blocks, bytes of shared memory, bytes of it that each block takes beside its own; and of one block.
REGISTERS, THREADS, BLOCKS, RESERVED = 65536, 2048, 32, 1024
TARGETS = [80, 90, 100]
SHARED = {80: (167936, 166912), 90: (233472, 232448), 100: (233472, 232448)}
EM_CUDA, SHT_SYMTAB, SHT_NOBITS = 190, 2, 8  # of ELF files
REGCOUNT, FRAME_SIZE, MAX_THREADS = 0x2F, 0x11, 0x05  # attributes of .nv.info


def sections(elf):
    """(name, type, bytes) of a 64-bit ELF file."""
    (table,), (entry, n, names) = struct.unpack_from("<Q", elf, 40), struct.unpack_from("<HHH", elf, 58)
    heads = [struct.unpack_from("<IIQQQQIIQQ", elf, table + i * entry) for i in range(n)]
    strings = heads[names][4]
    for h in heads:
        start = strings + h[0]
        name = elf[start : elf.index(b"\0", start)].decode()
        yield name, h[1], b"" if h[1] == SHT_NOBITS else elf[h[4] : h[4] + h[5]]


def attributes(data):
    """(attribute, value as 32-bit numbers) of a .nv.info section: form 4 has its size before its value, others two bytes in place."""
    at = 0
    while at + 4 <= len(data):
        form, attribute, size = struct.unpack_from("<BBH", data, at)
        at += 4
        if form == 4:
            yield attribute, struct.unpack_from("<%dI" % (size // 4), data, at)
            at += size


def kernels_of_cubin(elf):
    """{mangled name: [registers, local bytes, threads at most]}"""
    found, symbols, info = {}, [], b""
    all_sections = list(sections(elf))
    strings = next(data for name, _, data in all_sections if name == ".strtab")
    for name, kind, data in all_sections:
        if kind == SHT_SYMTAB:
            starts = [struct.unpack_from("<I", data, i)[0] for i in range(0, len(data), 24)]
            symbols = [strings[s : strings.index(b"\0", s)].decode() for s in starts]
        elif name.startswith(".nv.info."):
            threads = [v[0] * v[1] * v[2] for a, v in attributes(data) if a == MAX_THREADS]
            found[name[9:]] = [0, 0, threads[0] if threads else 1024]
        elif name == ".nv.info":
            info = data
    for attribute, value in attributes(info):
        if attribute in (REGCOUNT, FRAME_SIZE) and symbols[value[0]] in found:
            found[symbols[value[0]]][attribute == FRAME_SIZE] = value[1]
    return found


def cubins(path):
    """(target, bytes) of the device code in an object file."""
    data = open(path, "rb").read()
    for m in re.finditer(b"\x7fELF\x02\x01", data):
        elf = data[m.start() :]
        if struct.unpack_from("<H", elf, 18)[0] == EM_CUDA:
            flags = struct.unpack_from("<I", elf, 48)[0]
            yield (flags & 0xFF if flags & 0xFF >= 50 else flags >> 8 & 0xFF), elf  # as CUDA 12 writes it, as 13 does


def plain(name):
    """Without namespaces and parameters, the same from either compiler."""
    name = re.sub(r"^void |hy_cuda(_host)?::", "", name)
    return re.sub(r"\(HY_GPU::\w+\)|\(hy_\w+\)", "", re.sub(r"\([^()]*\)( \[clone.*)?$", "", name)).strip()


def demangled(names):
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return [plain(line) for line in text.splitlines()]


def launch_list(program):
    """([(kernel, threads, shared bytes, blocks)] in order, what it printed) of a run of `program` on the interpreter."""
    symbols = {}
    for line in subprocess.run(["nm", "-C", program], capture_output=True, text=True, check=True).stdout.splitlines():
        m = re.match(r"([0-9a-f]+) [tTwW] (.*)", line)
        if m:
            symbols[int(m.group(1), 16)] = plain(m.group(2))
    start = next((a for a, n in symbols.items() if n == "__executable_start"), 0)
    done = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "launches")
        run = subprocess.run([program], env={**os.environ, "HYLAS_SIMT_LAUNCHES": path}, stdout=subprocess.PIPE, text=True, check=True)
        for line in open(path):
            at, threads, shared, blocks = line.split()
            name = symbols.get(int(at, 16) + start)
            if name is None:
                sys.exit("%s: no kernel at %s" % (program, at))
            done.append((name, int(threads), int(shared), int(blocks)))
    return done, run.stdout


def launches(program):
    """{kernel: {(threads, shared bytes)}}"""
    shapes = {}
    for name, threads, shared, _ in launch_list(program)[0]:
        shapes.setdefault(name, set()).add((threads, shared))
    return shapes


def blocks_per_sm(target, registers, threads, shared):
    """(blocks, what limits them): registers are given to warps by 256, shared memory to blocks by 128 bytes."""
    whole, of_block = SHARED[target]
    warps = (threads + 31) // 32
    of_warp = (registers * 32 + 255) // 256 * 256
    room = {
        "registers": REGISTERS // 4 // of_warp * 4 // warps if of_warp else BLOCKS,
        "threads": THREADS // (32 * warps),
        "blocks": BLOCKS,
        "shared": whole // ((shared + 127) // 128 * 128 + RESERVED) if shared <= of_block else 0,
    }
    limit = min(room, key=room.get)
    return room[limit], limit


def rows_of(build, program, everything):
    """[kernel, target, registers, local, threads, shared, blocks, limit], the launch with the fewest blocks of each."""
    objects = sorted(os.path.join(build, "cuda", f) for f in os.listdir(os.path.join(build, "cuda")) if f.endswith(".o"))
    shapes, rows = launches(program), []
    for path in objects:
        any_code = False
        for target, elf in cubins(path):
            any_code = True
            if target not in TARGETS:
                continue
            found = kernels_of_cubin(elf)
            for name, (registers, local, most) in zip(demangled(found), found.values()):
                if name not in shapes and not everything:
                    continue
                cases = [(blocks_per_sm(target, registers, t, s), t, s) for t, s in shapes.get(name, {(most, 0)})]
                (blocks, limit), threads, shared = min(cases, key=lambda c: (c[0][0], -c[2]))
                rows.append([name, target, registers, local, threads, shared, blocks, limit])
        if not any_code:
            sys.exit("%s: no device code that can be read (compressed?)" % path)
    return sorted(rows)


def broken(rows, path):
    """What is wrong, in words. Every line of bounds must be about a kernel."""
    wrong = []
    for line in open(path):
        words = line.split("#")[0].split()
        if not words:
            continue
        pattern, bounds = words[0], [list(map(int, word.split("/"))) for word in words[1:]]
        mine = [r for r in rows if re.fullmatch(pattern, r[0].replace(" ", ""))]
        if not mine:
            wrong.append("%s: there is no such kernel" % pattern)
        for r in mine:
            r.append("bound")
            registers, blocks, local = (b[TARGETS.index(r[1])] if len(b) > 1 else b[0] for b in bounds)
            where = "%s, sm_%d" % (r[0], r[1])
            if r[2] > registers:
                wrong.append("%s: %d registers, at most %d" % (where, r[2], registers))
            if r[3] > local:
                wrong.append("%s: %d bytes of local memory, at most %d" % (where, r[3], local))
            if r[6] < blocks:
                wrong.append("%s: %d blocks per multiprocessor (%s), at least %d" % (where, r[6], r[7], blocks))
    return wrong + ["%s: no bound" % r[0] for r in rows if r[1] == rows[0][1] and len(r) == 8]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("build")
    options.add_argument("--all", action="store_true", help="kernels that launch_shapes does not launch, too")
    options.add_argument("--bounds", help="check these")
    options.add_argument("--program", help="launch_shapes (default: BUILD/tests/launch_shapes)")
    given = options.parse_args()
    if not os.path.isdir(os.path.join(given.build, "cuda")):
        print("no objects of nvcc in %s: this build left the device cuda out" % given.build)
        return 77
    rows = rows_of(given.build, given.program or os.path.join(given.build, "tests", "launch_shapes"), given.all)
    print("%-62s %-6s %9s %6s %8s %8s  %s" % ("kernel", "target", "registers", "local", "threads", "shared", "blocks per SM"))
    for name, target, registers, local, threads, shared, blocks, limit in rows:
        print("%-62s sm_%-3d %9d %6d %8d %8d  %d (%s)" % (name, target, registers, local, threads, shared, blocks, limit))
    wrong = broken(rows, given.bounds) if given.bounds else []
    for line in wrong:
        print("BROKEN: " + line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
