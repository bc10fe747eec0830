import { z } from "zod";

const positiveInt = z.int().positive();
const count = z.int().nonnegative();
const notWeights = "must be a list of numbers above 0, such as 2,0.5";

/** One word of a batch script's #SBATCH lines; a line break would be another line of it. */
const slurmWord = z.string().regex(/^[\x21-\x7e]+$/, "must be one word without spaces");

/**
 * Every setting of a run, with its default and its description. Flags, `COORD_*` environment variables, the keys of
 * coord.yaml and `--help` all come from this one schema: key `loraAlpha` is flag `--lora-alpha` (or `--lora_alpha`),
 * variable `COORD_LORA_ALPHA` and YAML key `lora_alpha` (or `loraAlpha`, `lora-alpha`).
 * Names are those of HuggingFace's TrainingArguments, PEFT's LoraConfig and torchrun wherever they have one.
 */
export const runConfigSchema = z.strictObject({
  // Launch
  nodes: positiveInt.max(1024).default(1).describe("Number of nodes."),
  minNodes: positiveInt
    .max(1024)
    .optional()
    .describe(
      "Nodes without which training waits (default: --nodes, or 1 with --elastic). --nnodes MIN:MAX sets both.",
    ),
  maxNodes: positiveInt.max(1024).optional().describe("Nodes that may take part at most (default: --nodes)."),
  elastic: z
    .boolean()
    .default(false)
    .describe("Go on with the workers that are left when some do not come back, and take new ones in."),
  rejoinTimeoutMs: count
    .default(30_000)
    .describe("Time that a missing worker has before an elastic run goes on without it, in milliseconds."),
  gpus: positiveInt.max(64).default(1).describe("Workers per node, one per GPU."),
  slots: positiveInt
    .max(65536)
    .optional()
    .describe("Logical shards of a global batch (default: the most workers that the run may have at launch)."),
  launcher: z
    .enum(["local", "ssh", "slurm", "k8s", "none"])
    .default("local")
    .describe(
      "Who starts the agents: this host, ssh on other hosts (follows from --hosts), a Slurm job, a Job of a Kubernetes cluster, or nobody (they are started from outside).",
    ),
  hosts: z
    .array(z.string().min(1))
    .default([])
    .describe("Hosts to start agents on over ssh: [USER@]HOST[:PORT][:GPUS],… (a number above 64 is a port)."),
  hostfile: z.string().optional().describe("File of hosts, one `host slots=N` per line, as DeepSpeed reads it."),
  interface: z
    .string()
    .optional()
    .describe(
      "Network interface of this host at which the other hosts reach it (default: the one on the way to them).",
    ),
  sshArg: z
    .array(z.string().min(1))
    .default([])
    .describe("Argument for ssh, once per argument: --ssh-arg=-J --ssh-arg=jump.example.org."),
  remoteCommand: z
    .string()
    .optional()
    .describe(
      "What starts coord on the hosts: a path, or `npx --yes coord@VERSION` (default: this installation's own path).",
    ),
  env: z
    .array(z.string().regex(/^[A-Za-z_]\w*(=.*)?$/s, "must look like NAME or NAME=VALUE"))
    .default([])
    .describe(
      "Variable for agents and workers on the hosts, once per variable: NAME=VALUE, or NAME for this shell's value.",
    ),
  partition: slurmWord.optional().describe("Slurm: partition of the job."),
  time: slurmWord
    .optional()
    .describe("Slurm: time limit of the job (2:00:00, 1-12); two minutes before, the run saves and queues again."),
  account: slurmWord.optional().describe("Slurm: account that the job is charged to."),
  qos: slurmWord.optional().describe("Slurm: quality of service."),
  constraint: slurmWord.optional().describe("Slurm: features that nodes must have."),
  exclusive: z.boolean().default(false).describe("Slurm: share the nodes with no other job."),
  sbatchArg: z
    .array(slurmWord)
    .default([])
    .describe("Slurm: another argument for sbatch, once per argument: --sbatch-arg=--mem=64G."),
  kubeContext: z.string().optional().describe("kubectl context of the cluster (default: the current one)."),
  kubeNamespace: z.string().optional().describe("Namespace of the agents' pods (default: the context's own)."),
  kubeImage: z.string().optional().describe("Image of the agents' pods, with the same version of coord as here."),
  kubeGpuResource: z
    .string()
    .optional()
    .describe("Resource that a pod asks for, one per worker: nvidia.com/gpu (default: none, for CPU nodes)."),
  kubeVolume: z
    .array(z.string().regex(/^[a-z0-9][a-z0-9.-]*:\/.+$/, "must look like CLAIM:/path"))
    .default([])
    .describe("Volume claim to mount into the pods for reading, once per claim, CLAIM:/path: where --model is."),
  maxRestarts: count
    .max(1000)
    .default(3)
    .describe("Times that the workers of a run may be started again within --restart-window-ms before it fails."),
  restartWindowMs: positiveInt
    .default(3_600_000)
    .describe("Time after which a restart no longer counts, in milliseconds."),
  portRange: z
    .string()
    .regex(/^\d{1,5}-\d{1,5}$/, "must look like 29500-29600")
    .optional()
    .describe("Ports to take listeners from, A-B (default: any free port)."),
  masterPort: z.int().min(0).max(65535).default(0).describe("Port of the coordinator (default: any free port)."),
  listen: z
    .string()
    .default("127.0.0.1")
    .describe("Address that the coordinator binds. Other than loopback, it speaks TLS."),
  advertise: z
    .string()
    .optional()
    .describe(
      "Host name or address that workers reach the coordinator at (default: the one bound, or this host's name).",
    ),
  tlsCert: z
    .string()
    .optional()
    .describe("Certificate (PEM) of the coordinator (default: the run makes its own authority and certificates)."),
  tlsKey: z.string().optional().describe("Private key (PEM) of the coordinator."),
  tlsCa: z.string().optional().describe("Certificate authority (PEM) that agents and workers trust."),
  insecure: z
    .boolean()
    .default(false)
    .describe("Allow a bind other than loopback without TLS. Anybody on the network can read the run's token."),
  heartbeatTimeoutMs: positiveInt
    .min(500)
    .default(5000)
    .describe("Silence that a worker survives, in milliseconds; before it is twice as long the worker counts as lost."),
  reconnectBudgetMs: positiveInt
    .default(60_000)
    .describe("Time without a coordinator after which agents and workers end themselves, in milliseconds."),
  formTimeoutMs: positiveInt.default(300_000).describe("Time for all workers to join, in milliseconds."),
  hashEvery: positiveInt
    .default(1)
    .describe("Steps between comparisons of a hash of the parameters across workers; one that differs is replaced."),
  threadsPerWorker: count
    .max(1024)
    .default(0)
    .describe("Compute threads of each worker (default: processors of the host ÷ its workers)."),
  dataPlane: z
    .enum(["auto", "grpc", "shared"])
    .default("auto")
    .describe(
      "How gradients travel: over gRPC, through shared memory (when all workers are on the coordinator's host), or auto for the faster one that works. The result is the same to the bit.",
    ),
  dashboard: z
    .boolean()
    .default(false)
    .describe("Serve a web page with curves, workers, events and logs, and /metrics for Prometheus."),
  dashboardListen: z
    .string()
    .default("127.0.0.1")
    .describe("Address of the page. Other than loopback needs TLS, and the run's admin token to read."),
  dashboardPort: z.int().min(0).max(65535).default(0).describe("Port of the page (default: any free port)."),
  gradCompression: z
    .enum(["none", "bf16"])
    .default("none")
    .describe(
      "Form in which gradients and their sum travel: float32, or rounded to bfloat16 for half the bytes. It decides about the result; the way they take does not.",
    ),

  // Model
  model: z
    .string()
    .optional()
    .describe("HuggingFace-format model directory, or owner/name[@revision] on the hub (default: the built-in demo)."),
  engine: z.enum(["onnx", "tfjs"]).default("onnx").describe("What computes gradients."),
  device: z
    .string()
    .regex(/^(auto|cpu|webgpu|cuda(:\d{1,2})?)$/, "must be auto, cpu, webgpu, cuda or cuda:INDEX")
    .default("auto")
    .describe(
      "Where the engine computes: auto, cpu, webgpu, cuda, or cuda:2 to begin with the host's GPU 2. auto takes a GPU where one can be used; the log says why.",
    ),
  loadIn8bit: z
    .boolean()
    .default(false)
    .describe(
      "Hold the weights of linear modules, but for the head's, in 8 bits (a scale for each row). Implies --gradient-checkpointing.",
    ),
  loadIn4bit: z
    .boolean()
    .default(false)
    .describe(
      "Hold them in 4 bits, as QLoRA does (NF4, a scale for every 64 values). Implies --gradient-checkpointing.",
    ),
  initAdapter: z.string().optional().describe("PEFT adapter directory whose weights a new run starts from."),

  // Data
  data: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe(
      "Data set: json, jsonl, csv, parquet or text files (also .gz), globs, directories, or owner/name[@revision] on the hub (default: the built-in demo's).",
    ),
  dataWeights: z
    .array(z.coerce.number(notWeights).positive(notWeights).max(1000, notWeights))
    .default([])
    .describe(
      "How often an epoch reads each entry of --data, in their order: 2,0.5 reads the first one twice and half of the second, drawn by the seed (default: each once).",
    ),
  evalData: z.array(z.string().min(1)).min(1).optional().describe("Held-out data set, named like --data."),
  evalSplit: z
    .number()
    .min(0)
    .refine((value) => value <= 0.5 || Number.isInteger(value), "must be at most 0.5, or a whole number of samples")
    .default(0)
    .describe(
      "What to hold out of the data set when no --eval-data is given: a fraction up to 0.5, or from 1 on so many samples; drawn by the seed, the same ones at every resume.",
    ),
  format: z
    .enum(["auto", "huatuo", "sharegpt", "openai", "alpaca", "prompt-completion", "swe", "text"])
    .default("auto")
    .describe("Format of the rows; auto tells each row apart by its keys."),
  columns: z
    .array(z.string().min(1))
    .default([])
    .describe("Names of the data set's own columns: instruction=question,output=answer."),
  skipBadRows: z
    .boolean()
    .default(false)
    .describe("Skip and count rows that cannot be read, instead of refusing the data set."),
  augment: z
    .int()
    .min(0)
    .max(100)
    .default(0)
    .describe(
      "Variants to add to each training sample: questions (or texts that are no dialogue) with words replaced, deleted and swapped, drawn by the seed; answers and held-out samples stay as they are.",
    ),
  augmentSynonyms: z
    .string()
    .min(1)
    .optional()
    .describe("Dictionary for --augment: a group of synonyms per line, separated by commas or tabs."),
  augmentReplace: z
    .number()
    .min(0)
    .max(1)
    .default(0.3)
    .describe("Share of the words in --augment-synonyms that a variant replaces."),
  augmentDelete: z
    .number()
    .min(0)
    .max(1)
    .default(0.05)
    .describe("Share of words that a variant of --augment leaves out."),
  augmentSwap: z
    .number()
    .min(0)
    .max(1)
    .default(0.05)
    .describe("Share of words that a variant of --augment swaps with the next one."),
  downloadStallTimeoutMs: positiveInt
    .default(30_000)
    .describe("Time without a byte after which a download from the hub has failed, in milliseconds."),
  maxTrainSamples: positiveInt.optional().describe("Samples to train on at most, the first ones (default: all)."),
  maxEvalSamples: positiveInt.optional().describe("Samples to hold out at most (default: all)."),
  chatTemplate: z.string().default("auto").describe("Named chat template, or auto for the tokenizer's own."),
  maxLength: positiveInt
    .max(1_048_576)
    .default(512)
    .describe("Tokens per sample; --long-samples says what becomes of longer ones."),
  longSamples: z
    .enum(["truncate", "drop", "error"])
    .default("truncate")
    .describe("What becomes of samples of more than --max-length tokens; what is cut or dropped is counted."),
  truncationSide: z
    .enum(["right", "left"])
    .default("right")
    .describe("Where samples are cut: their end, or their beginning."),
  packing: z
    .boolean()
    .default(false)
    .describe(
      "Pack short samples into rows of --max-length tokens; none sees another, and a batch size counts rows. The held-out loss is of single samples all the same.",
    ),
  groupByLength: z
    .boolean()
    .default(false)
    .describe("Take samples of about the same length in each step, so that less is padding."),
  trainOnInputs: z.boolean().default(false).describe("Learn questions too, not answers alone."),

  // LoRA (PEFT's names)
  loraR: positiveInt.max(4096).default(8).describe("Rank of the adapter."),
  loraAlpha: z.number().positive().default(16).describe("Scale: the update is multiplied by alpha / r."),
  loraDropout: z.number().min(0).max(0.95).default(0).describe("Dropout in front of the adapter."),
  targetModules: z
    .array(z.string().min(1))
    .min(1)
    .default(["q_proj", "v_proj"])
    .describe("Linear modules that get an adapter: names, all-linear, or a regular expression for whole names."),
  useRslora: z.boolean().default(false).describe("Multiply the update by alpha / √r in place of alpha / r."),
  rankPattern: z
    .array(z.string().min(1))
    .default([])
    .describe("Other ranks for some modules: q_proj=16,mlp.up_proj=4."),
  alphaPattern: z.array(z.string().min(1)).default([]).describe("Other alphas for some modules, likewise."),
  initLoraWeights: z
    .enum(["true", "gaussian"])
    .default("true")
    .describe(
      "How A starts: PEFT's default (Kaiming-uniform), or normal with standard deviation 1 / r; B starts at zero.",
    ),

  useDora: z
    .boolean()
    .default(false)
    .describe("DoRA: train the length of each output's weights apart from their direction."),
  bias: z
    .enum(["none", "lora_only"])
    .default("none")
    .describe("Which biases of the model are trained: none, or those of modules with an adapter."),
  modulesToSave: z
    .array(z.string().min(1))
    .default([])
    .describe("Embeddings and head to train as a whole, beside the adapter: embed_tokens,lm_head."),

  // Training (TrainingArguments' names)
  output: z
    .string()
    .min(1)
    .default("coord-output/{run}")
    .describe(
      "Directory for checkpoints and the adapter, or s3://bucket/prefix (AWS_* variables say where and who); {run} stands for the run's id.",
    ),
  perDeviceTrainBatchSize: positiveInt.default(4).describe("Samples per micro-batch."),
  perDeviceEvalBatchSize: positiveInt.default(8).describe("Samples per micro-batch of the held-out loss."),
  gradientAccumulationSteps: positiveInt.default(1).describe("Micro-batches per slot and step."),
  autoFindBatchSize: z
    .boolean()
    .default(false)
    .describe(
      "Where micro-batches do not fit this host's memory, take the largest that do and accumulate more of them: the global batch stays the same.",
    ),
  gradientCheckpointing: z
    .boolean()
    .default(false)
    .describe(
      "Keep only what goes from layer to layer and compute the rest again in the backward pass, with the weights of one layer at a time in memory: less memory, more time.",
    ),
  numTrainEpochs: z.number().positive().default(1).describe("Passes over the data set."),
  maxSteps: z.int().default(-1).describe("Steps; overrides the number of epochs when positive."),
  learningRate: z.number().positive().default(2e-4).describe("Peak learning rate."),
  lrSchedulerType: z
    .enum(["linear", "cosine", "constant", "constant_with_warmup"])
    .default("cosine")
    .describe("Learning-rate schedule."),
  warmupRatio: z.number().min(0).max(1).default(0.03).describe("Fraction of the steps over which the rate rises."),
  warmupSteps: count.default(0).describe("Steps over which the rate rises; overrides the ratio when positive."),
  weightDecay: z.number().min(0).default(0).describe("Decoupled weight decay (AdamW)."),
  adamBeta1: z.number().min(0).lt(1).default(0.9).describe("AdamW's first decay rate."),
  adamBeta2: z.number().min(0).lt(1).default(0.999).describe("AdamW's second decay rate."),
  adamEpsilon: z.number().positive().default(1e-8).describe("AdamW's epsilon."),
  adamStartStep: count
    .default(0)
    .describe("Step at which AdamW's moments were zero, from which its bias correction counts; set by coord import."),
  onNan: z
    .enum(["stop", "skip"])
    .default("stop")
    .describe("When a gradient or loss is NaN or infinite: end the run, or let the step change nothing and go on."),
  maxGradNorm: z.number().min(0).default(1).describe("Clip gradients to this global L2 norm; 0 for never."),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(42)
    .describe("Seed of data order, initial weights and dropout."),
  saveSteps: count.default(500).describe("Steps between checkpoints; 0 for the last one only."),
  saveTotalLimit: count
    .default(0)
    .describe("Checkpoints to keep, the newest and the one with the best held-out loss among them; 0 for all."),
  saveMilestoneSteps: count
    .default(0)
    .describe("Keep checkpoints at multiples of this many steps beyond the limit; 0 for none."),
  onSaveError: z
    .enum(["stop", "continue"])
    .default("stop")
    .describe("When a checkpoint cannot be written: end the run, or train on and try again at the next one."),
  onSaveBusy: z
    .enum(["wait", "skip"])
    .default("wait")
    .describe("When a checkpoint is due while the one before it is still being written: wait for it, or go without."),
  evalSteps: count.default(0).describe("Steps between held-out losses; 0 for start and end only."),
  earlyStoppingPatience: count
    .default(0)
    .describe(
      "Held-out losses in a row (--eval-steps) that may fail to improve before training ends; 0 for no early stopping.",
    ),
  earlyStoppingThreshold: z
    .number()
    .min(0)
    .default(0)
    .describe("By how much a held-out loss must be below the best one to count as better."),
  loadBestModelAtEnd: z
    .boolean()
    .default(false)
    .describe(
      "End with the adapter of the checkpoint that has the best held-out loss, not with that of the last step.",
    ),
  loggingSteps: positiveInt.default(1).describe("Steps between log lines."),
  reportTo: z
    .array(z.enum(["tensorboard", "mlflow"]))
    .default([])
    .describe(
      "Trackers that get the figures: tensorboard (event files in OUTPUT/runs; with s3:// in the run's own directory), mlflow (the server that MLFLOW_TRACKING_URI names).",
    ),
});

/** A complete, checked configuration. */
export type RunConfig = z.infer<typeof runConfigSchema>;
/** Name of a setting. */
export type ConfigKey = keyof RunConfig;
