import { resolve } from "node:path";
import { isS3 } from "../../../shared/checkpoint/location.ts";
import { flagOptions } from "../../../shared/config/flags.ts";
import { formatHost } from "../../../shared/config/hosts.ts";
import type { ConfigKey } from "../../../shared/config/schema.ts";
import { settings } from "../../../shared/config/settings.ts";
import { exitCodes, toCoordError } from "../../../shared/errors.ts";
import { examineHost } from "../../doctor/examineHost.ts";
import type { Finding } from "../../doctor/finding.ts";
import { judgeHostAnswer, judgeHub, judgePorts } from "../../doctor/judgeNetwork.ts";
import { countFreePorts, reachHub } from "../../doctor/probeNetwork.ts";
import { renderFindings } from "../../doctor/renderFindings.ts";
import { hubSettings } from "../../hub/hubSettings.ts";
import { pinConfig } from "../../launch/pinConfig.ts";
import { askHosts } from "../../launch/ssh/checkHosts.ts";
import { listenForHosts } from "../../launch/ssh/chooseAddress.ts";
import { wantsColor } from "../../observe/style.ts";
import { parsePortRange } from "../../ports/portRange.ts";
import { type Command, jsonOption, textValue } from "../command.ts";
import { loadConfig } from "../loadConfig.ts";
import { whileInterruptible } from "../whileInterruptible.ts";

/** Settings that say where a run would be. */
const hostSettings: ReadonlySet<ConfigKey> = new Set([
  ...(["hosts", "hostfile", "sshArg", "interface", "remoteCommand", "gpus", "model", "device", "portRange"] as const),
]);

export const doctorCommand: Command = {
  usage: "doctor",
  describe:
    "Check whether this host, and those of --hosts, can train: versions, engine, GPUs, memory, disk, limits, network.",
  options: {
    ...jsonOption,
    ...flagOptions(settings.filter(({ key }) => hostSettings.has(key))),
    output: {
      describe: "Directory or s3:// URL that a run would write to [default: this directory].",
      requiresArg: true,
    },
  },
  examples: [["coord doctor --hosts a:8,b:8", "Can these hosts take part, and do their clocks agree?"]],
  async run(values, context) {
    const { environment, stdout } = context;
    const { config, sources } = await loadConfig(values, context);
    const output = textValue(values, "output") ?? ".";
    const hub = hubSettings(environment);
    // A bucket has no disk to look at; the cache and the run's own files are on this host's.
    const findings = await examineHost(resolve(context.workingDirectory, isS3(output) ? "." : output));
    if (isS3(output)) findings.push(await examineBucket(output));
    findings.push(judgeHub(hub.endpoint, await reachHub(hub)));
    if (config.portRange !== undefined) {
      const { free, tried } = await countFreePorts(parsePortRange(config.portRange));
      findings.push(judgePorts(config.portRange, tried, free));
    }
    if (config.launcher === "ssh") {
      const listenGiven = (sources.listen ?? "default") !== "default";
      findings.push(
        ...(await whileInterruptible(context, async (signal) => {
          const asked = await askHosts(await listenForHosts(pinConfig(config, sources), listenGiven, signal), signal);
          return asked.flatMap(({ answer, host, problems }) => judgeHostAnswer(formatHost(host), answer, problems));
        })),
      );
    }
    const lines = values["json"]
      ? [JSON.stringify(findings, undefined, 2)]
      : renderFindings(findings, wantsColor(stdout.isTTY, environment));
    stdout.write(`${lines.join("\n")}\n`);
    return findings.some(({ level }) => level === "problem") ? exitCodes.preflightRefused : exitCodes.done;
  },
};

async function examineBucket(output: string): Promise<Finding> {
  const { probeBucket } = await import("../../../shared/checkpoint/s3/probeBucket.ts");
  return probeBucket(output).then(
    () => ({ name: "output", level: "ok", value: `${output} can be written, and commits are conditional` }),
    (thrown: unknown) => ({ name: "output", level: "problem", value: output, remedy: toCoordError(thrown).message }),
  );
}
