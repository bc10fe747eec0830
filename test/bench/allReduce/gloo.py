"""All-reduces with gloo, torch's collective library for CPUs, as the measure for ours.

Arguments: rank, world size, rendezvous file. Speaks the line protocol of rankGroup.ts.
"""

import json
import sys
import time

import torch
import torch.distributed as distributed

rank, world_size, rendezvous = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world_size)
print("ready", flush=True)

for line in sys.stdin:
    request = json.loads(line)
    gradient = torch.empty(request["bytes"] // 4, dtype=torch.float32)
    times = []
    for _ in range(request["rounds"]):
        gradient.fill_(rank + 1)
        distributed.barrier()
        begin = time.monotonic_ns()
        distributed.all_reduce(gradient)
        end = time.monotonic_ns()
        expected = world_size * (world_size + 1) / 2
        if gradient[0] != expected or gradient[-1] != expected:
            sys.exit("The sum is wrong.")
        times.append([begin / 1e6, end / 1e6])
    print(json.dumps(times), flush=True)

distributed.destroy_process_group()
