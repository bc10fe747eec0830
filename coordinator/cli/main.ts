#!/usr/bin/env node
import type { ViewSignal } from "../observe/decideOnSignal.ts";
import type { CommandContext } from "./command.ts";
import { reportError } from "./reportError.ts";
import { runCli } from "./runCli.ts";

/** 128 + SIGHUP. */
const hangUpCode = 129;
const viewSignals: readonly ViewSignal[] = ["SIGINT", "SIGTERM", "SIGHUP"];

const context: CommandContext = {
  environment: process.env,
  workingDirectory: process.cwd(),
  stdout: process.stdout,
  onSignal(listener) {
    for (const signal of viewSignals) process.on(signal, listener);
    return () => {
      for (const signal of viewSignals) process.removeListener(signal, listener);
    };
  },
};

for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    // `coord logs | head` closes the pipe: nobody reads on, and that is no failure.
    if (error.code === "EPIPE") process.exit(0);
    if (error.code === "EIO") hangUp();
    throw error;
  });
}

const argv = process.argv.slice(2);
let exitCode: number;
try {
  exitCode = await runCli(argv, context);
} catch (thrown) {
  const report = reportError(thrown, argv.includes("--debug") || process.env["COORD_DEBUG"] === "1");
  process.stderr.write(report.text);
  exitCode = report.exitCode;
}
if (exitCode === hangUpCode) hangUp();
// Leaving at once would cut off what a slow pipe has not taken yet; waiting for every handle could take for ever.
process.stdout.write("", () => process.stderr.write("", () => process.exit(exitCode)));

/** Ends as a closed terminal ends its processes. Node's exit would abort: it cannot reset a terminal that is gone. */
function hangUp(): void {
  process.removeAllListeners("SIGHUP");
  process.kill(process.pid, "SIGHUP");
}
