#!/usr/bin/env python3
"""One training step of the model of configs/bench-cpu.yaml in PyTorch: the other side of launch/compare-pytorch.sh.

The model is transformers' Qwen3.5 text model with the same sizes: gated delta rule in three layers of four, grouped softmax attention in
the fourth, gated MLP, tied head, bytes as tokens; float32, AdamW. What it has beyond ours (an output gate in attention, norms of
queries and keys) costs a few hundredths of its work; both sides count 6 operations per parameter of their own.

Prints one line of key=value pairs, as `hylas bench step` does: the best of a few steps after one for warming up, the rate of float32
matrix products measured after them, and peak resident memory before that measurement.
"""
import argparse
import resource
import sys
import time
import warnings

warnings.filterwarnings("ignore")

CHUNK = 64


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokens", type=int)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--kv-heads", type=int, default=2)
    parser.add_argument("--head-dim", type=int, default=64)
    parser.add_argument("--mlp", type=int, default=768)
    parser.add_argument("--vocab", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def build(args):
    from transformers import AutoModelForCausalLM
    from transformers.models.qwen3_5.configuration_qwen3_5 import Qwen3_5TextConfig

    config = Qwen3_5TextConfig(
        vocab_size=args.vocab,
        hidden_size=args.width,
        intermediate_size=args.mlp,
        num_hidden_layers=args.layers,
        full_attention_interval=4,
        num_attention_heads=args.heads,
        num_key_value_heads=args.kv_heads,
        head_dim=args.head_dim,
        linear_num_key_heads=args.heads,
        linear_num_value_heads=args.heads,
        linear_key_head_dim=args.head_dim,
        linear_value_head_dim=args.head_dim,
        tie_word_embeddings=True,
        max_position_embeddings=args.tokens,
        use_cache=False,
        attn_implementation="sdpa",
    )
    return AutoModelForCausalLM.from_config(config).float()


def useful_work(args, parameters):
    """The same count as launch/bench/useful_work.h: 6 per parameter and token, causal pairs once, chunk form of the delta rule; times 3."""
    tokens, key, value = args.tokens, args.head_dim, args.head_dim
    softmax = args.layers // 4
    chunk = CHUNK * key + CHUNK**2 / 6 + CHUNK * (key + value) / 2 + 3 * key * value + CHUNK * value / 2
    delta = 3 * 2 * chunk * tokens * args.heads * (args.layers - softmax)
    attention = 12 * tokens**2 / 2 * args.heads * args.head_dim * softmax
    return 6 * parameters * tokens + attention + delta


def seconds_of(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def main():
    args = parse()
    try:
        import torch

        torch.set_num_threads(args.threads)
        torch.manual_seed(1)
        model = build(args)
    except ImportError as error:
        print(f"pytorch_step.py: {error}: this Python needs torch and a transformers that has Qwen3.5", file=sys.stderr)
        return 3
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    tokens = torch.randint(0, args.vocab, (1, args.tokens))

    def step():
        optimizer.zero_grad(set_to_none=True)
        model(input_ids=tokens, labels=tokens).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    step()
    best = min(seconds_of(step) for _ in range(args.repeats))
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    n = 2048
    left, right, product = torch.rand(n, n), torch.rand(n, n), torch.empty(n, n)
    gemm = 2 * n**3 / min(seconds_of(lambda: torch.mm(left, right, out=product)) for _ in range(5))
    parameters = sum(p.numel() for p in model.parameters())
    share = useful_work(args, parameters) / best / gemm
    print(
        f"tokens={args.tokens} ranks=1 seconds={best:.4f} tokens_per_second={args.tokens / best:.1f} gemm_gflops={gemm / 1e9:.1f} "
        f"gemm_share={share:.4f} peak_mib={peak_mib:.0f} parameters={parameters} torch={torch.__version__}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
