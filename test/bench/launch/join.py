"""Joins the process group and says when everybody had: what a script does before it can begin to train."""

import time

import torch.distributed as distributed

distributed.init_process_group("gloo")
distributed.barrier()
if distributed.get_rank() == 0:
    print(f"joined {time.time() * 1000:.0f}", flush=True)
distributed.destroy_process_group()
