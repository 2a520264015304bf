#!/usr/bin/env python3
"""The PyTorch side of launch/check-export.sh.

    export_logits.py tokens TEXT OUT        the first bytes of TEXT as input of `hylas op model`
    export_logits.py compare WORK NAMES...  logits of the models WORK/NAME against those in WORK/NAME.h5
"""
import sys

import h5py
import numpy

LENGTH, NEW = 160, 8
TOLERANCE = 5e-6  # of the largest logit: float32 through four layers gives 4e-7


def write_tokens(text, out):
    with open(text, "rb") as file:
        tokens = numpy.frombuffer(file.read(LENGTH), dtype=numpy.uint8).astype(numpy.int32)[None]
    with h5py.File(out, "w") as file:
        file["tokens"] = tokens
        file["labels"] = numpy.roll(tokens, -1, axis=1)


def difference(work, name, tokens):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(f"{work}/{name}").eval()
    if model.config.model_type != name:
        raise SystemExit(f"{name} was exported as {model.config.model_type}")
    with torch.no_grad():
        ours = model(input_ids=tokens, use_cache=False).logits.double()
        made = model.generate(tokens[:, :32], max_new_tokens=NEW, do_sample=False, pad_token_id=0)
    if made.shape[1] != 32 + NEW:
        raise SystemExit(f"{name}: generation stopped at a token that means nothing here")
    with h5py.File(f"{work}/{name}.h5") as file:
        exact = torch.from_numpy(numpy.asarray(file["logits"], dtype=numpy.float64)).view_as(ours)
    return ((ours - exact).abs().max() / exact.abs().max()).item(), type(model).__name__


def compare(work, names):
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    worst = 0.0
    with h5py.File(f"{work}/tokens.h5") as file:
        tokens = torch.from_numpy(file["tokens"][:].astype(numpy.int64))
    for name in sorted(names):
        off, kind = difference(work, name, tokens)
        worst = max(worst, off)
        print(f"{name:14} {kind:22} logits differ by {off:.1e} of the largest", flush=True)
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    if sys.argv[1] == "tokens":
        write_tokens(*sys.argv[2:])
    else:
        sys.exit(compare(sys.argv[2], sys.argv[3:]))
