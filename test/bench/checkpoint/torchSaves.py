"""Saves the same vectors as PyTorch does: one command a line on standard input, one JSON line with the times back.

torchSaves.py ELEMENTS. Commands: `torch PATH`, `torch-sync PATH`, `dcp PATH`, `dcp-async PATH`.
"""

import json
import os
import shutil
import sys
import time
import warnings

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp

warnings.simplefilter("ignore")
elements = int(sys.argv[1])
# DCP's asynchronous save wants a process group with a CPU backend.
dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
torch.manual_seed(0)
parameters = torch.randn(elements)
state = {"model": {"adapter": parameters}, "optimizer": {"exp_avg": parameters * 0.1, "exp_avg_sq": parameters * 0.01}}


def torch_save(path: str, sync: bool) -> dict:
    os.makedirs(path)
    begin = time.perf_counter()
    with open(os.path.join(path, "state.pt"), "wb") as file:
        torch.save(state, file)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    elapsed = time.perf_counter() - begin
    return {"ms": elapsed * 1000, "stallMs": elapsed * 1000}


def dcp_save(path: str) -> dict:
    begin = time.perf_counter()
    dcp.save(state, checkpoint_id=path)
    elapsed = time.perf_counter() - begin
    return {"ms": elapsed * 1000, "stallMs": elapsed * 1000}


def dcp_async(path: str) -> dict:
    begin = time.perf_counter()
    future = dcp.async_save(state, checkpoint_id=path)
    stall = time.perf_counter() - begin
    future.result()
    return {"ms": (time.perf_counter() - begin) * 1000, "stallMs": stall * 1000}


saves = {
    "torch": lambda path: torch_save(path, False),
    "torch-sync": lambda path: torch_save(path, True),
    "dcp": dcp_save,
    "dcp-async": dcp_async,
}
print(json.dumps({"version": torch.__version__}), flush=True)
for line in sys.stdin:
    kind, path = line.split()
    print(json.dumps(saves[kind](path)), flush=True)
    shutil.rmtree(path)
dist.destroy_process_group()
