#!/usr/bin/env python3
"""The PyTorch side of launch/compare-training.sh.

    training_reference.py train WORK --models A,B ...   for each model WORK/A/hf, a tiny one of transformers' class with its initial weights,
                                                        and the losses of training it on the bytes of WORK/text: WORK/A/float32 and so on
    training_reference.py compare WORK/A RANKS          one line of the table: all losses in WORK/A against those of float64

float64 means every operation: the library casts norms, angles and softmax to float32 by name, so its modules are given a torch whose
float32 is float64. float32-parts is float32 with the batch in four parts, which rounds in another order: the larger of the two deviations
is what float32 costs.
"""
import argparse
import json
import math
import sys

PAD = 32  # the blank: in every model the embedding of the commonest byte gets no gradient from the input


def config_of(model):
    from transformers import BambaConfig, LlamaConfig, Mamba2Config
    from transformers.models.olmo_hybrid.configuration_olmo_hybrid import OlmoHybridConfig
    from transformers.models.qwen3_5.configuration_qwen3_5 import Qwen3_5TextConfig

    common = dict(vocab_size=256, hidden_size=48, num_hidden_layers=4, pad_token_id=PAD, bos_token_id=None, eos_token_id=None, use_cache=False)
    softmax = dict(num_attention_heads=4, num_key_value_heads=2, head_dim=16, intermediate_size=64, max_position_embeddings=128)
    delta = dict(
        layer_types=["linear_attention"] * 3 + ["full_attention"],
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=16,
        linear_value_head_dim=16,
    )
    mamba = dict(expand=2, n_groups=1, state_size=16, chunk_size=32)
    prefixed = dict(mamba_n_heads=6, mamba_d_head=16, mamba_n_groups=2, mamba_d_state=16, mamba_expand=2, mamba_chunk_size=32)
    return {
        "llama": lambda: LlamaConfig(**common, **softmax),
        "qwen3_5_text": lambda: Qwen3_5TextConfig(**common, **softmax, **delta, tie_word_embeddings=True),
        "olmo_hybrid": lambda: OlmoHybridConfig(**common, **softmax, **delta),
        "mamba2": lambda: Mamba2Config(**common, **mamba, num_heads=6, head_dim=16),
        "bamba": lambda: BambaConfig(**common, **softmax, **prefixed, attn_layer_indices=[2]),
    }[model]()


def make(name, folder):
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config_of(name))
    with torch.no_grad():  # a padding embedding of zero would hide what is done with it
        model.get_input_embeddings().weight[PAD].normal_(std=0.02)
    model.float().save_pretrained(folder)


class AllDouble:
    """torch, whose single precision is double."""

    def __init__(self, torch):
        self.torch = torch

    def __getattr__(self, name):
        return getattr(self.torch, "float64" if name in ("float", "float32") else name)


def make_double(torch):
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double
    for name, module in list(sys.modules.items()):
        if name.startswith("transformers.") and getattr(module, "torch", None) is torch:
            module.torch = AllDouble(torch)


def learning_rate(args, step):
    if step <= args.warmup:
        return args.lr * step / args.warmup
    way = (step - args.warmup) / (args.steps - args.warmup)
    return args.lr * (args.min_lr_ratio + (1 - args.min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * way)))


def load_model(folder, dtype):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").to(dtype).train()


def losses_of(args, model, text, parts):
    """One loss per step; the optimizer is AdamW as hylas has it: matrices and filters decay, norms, biases, A_log, dt_bias and D do not."""
    import torch

    count = args.sequences * args.length
    tokens, labels = text[:count].view(args.sequences, args.length), text[1 : count + 1].view(args.sequences, args.length)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": args.decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.95), eps=1e-8)
    losses = []
    for step in range(1, args.steps + 1):
        optimizer.zero_grad()
        total = 0.0
        for rows in torch.arange(args.sequences).chunk(parts):
            logits = model(input_ids=tokens[rows]).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[rows].flatten(), reduction="sum") / count
            loss.backward()
            total += loss.item()
        losses.append(total)
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        norm = math.sqrt(sum((g.double() ** 2).sum().item() for g in gradients))
        for g in gradients:
            g.mul_(min(1.0, args.clip / norm))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(args, step)
        optimizer.step()
    return losses


def train(args):
    import torch

    torch.set_num_threads(1)
    with open(f"{args.work}/text", "rb") as file:
        text = torch.tensor(list(file.read()))
    names = args.models.split(",")
    for name in names:
        make(name, f"{args.work}/{name}/hf")
    for kind, dtype, parts in (("float32", torch.float32, 1), ("float32-parts", torch.float32, 4), ("float64", torch.float64, 1)):
        if dtype == torch.float64:
            make_double(torch)
        for name in names:
            losses = losses_of(args, load_model(f"{args.work}/{name}/hf", dtype), text, parts)
            with open(f"{args.work}/{name}/{kind}", "w") as file:
                file.writelines(f"{loss!r}\n" for loss in losses)


def deviation(losses, exact):
    return max(abs(a - b) / b for a, b in zip(losses, exact, strict=True))


def compare(args):
    def read(name):
        with open(f"{args.dir}/{name}") as file:
            return [float(line) for line in file]

    def read_run(ranks):
        with open(f"{args.dir}/run{ranks}/metrics.jsonl") as file:
            return [line["loss"] for line in map(json.loads, file) if "loss" in line]

    exact = read("float64")
    torch = [deviation(read(kind), exact) for kind in ("float32", "float32-parts")]
    # Training amplifies what was rounded first, whoever rounded it: a factor of a few is luck. Below 2e-7 float32 has no digits.
    allowed = 4 * max(*torch, 2e-7)
    ours = [deviation(read_run(ranks), exact) for ranks in args.ranks.split(",")]
    cells = "".join(f" {x:12.2e}"[:13] + ("!" if x > allowed else "") for x in ours)
    name = args.dir.rstrip("/").rsplit("/", 1)[-1]
    print(f"{name:14} {exact[0]:10.4f} {exact[-1]:10.4f} | {torch[0]:13.2e} {torch[1]:12.2e}{cells}", flush=True)
    return 1 if any(x > allowed for x in ours) else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train")
    one.add_argument("work")
    one.add_argument("--models")
    for name in ("steps", "sequences", "length", "warmup"):
        one.add_argument(f"--{name}", type=int)
    for name in ("lr", "min-lr-ratio", "decay", "clip"):
        one.add_argument(f"--{name}", type=float)
    one.set_defaults(run=train)
    one = commands.add_parser("compare")
    one.add_argument("dir")
    one.add_argument("ranks")
    one.set_defaults(run=compare)
    args = parser.parse_args()
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
