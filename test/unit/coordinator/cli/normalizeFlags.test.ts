import { describe, expect, it } from "vitest";
import { normalizeFlags } from "../../../../coordinator/cli/normalizeFlags.ts";
import { flagOptions } from "../../../../shared/config/flags.ts";

const options = { ...flagOptions(), follow: { type: "boolean", alias: "f" } } as const;

describe("normalizeFlags", () => {
  it.each([
    ["--learning_rate", "--learning-rate"],
    ["--learningRate", "--learning-rate"],
    ["--learning_rate=1e-4", "--learning-rate=1e-4"],
    ["--nproc_per_node", "--nproc-per-node"],
    ["--adam_beta1", "--adam-beta1"],
    ["--no-insecure", "--no-insecure"],
    ["--train_on_inputs", "--train-on-inputs"],
    ["--insecure=yes", "--insecure"],
    ["--insecure=0", "--no-insecure"],
    ["-f", "-f"],
    ["--output=a=b\nc", "--output=a=b\nc"],
  ])("writes %s as %s", (token, written) => expect(normalizeFlags([token], options)).toEqual([written]));

  it("leaves values, negative numbers and everything after -- as they are", () => {
    const argv = ["--max-steps", "-1", "run_id", "-", "--", "--what_ever"];
    expect(normalizeFlags(argv, options)).toEqual(argv);
  });

  it.each([
    ["--lerning-rate", "Unknown flag --lerning-rate; did you mean --learning-rate?"],
    ["--LEARNING_RATE=1", "Unknown flag --LEARNING_RATE; did you mean --learning-rate?"],
    ["--no-gpus", "Unknown flag --no-gpus; did you mean --gpus?"],
    ["-gpus", "Unknown flag -gpus; did you mean --gpus?"],
    ["--qqqqqqqqqqq", "Unknown flag --qqqqqqqqqqq; --help lists those there are."],
    ["--insecure=perhaps", '--insecure must be true or false, got "perhaps".'],
  ])("refuses %s", (token, sentence) => expect(() => normalizeFlags([token], options)).toThrow(sentence));
});
