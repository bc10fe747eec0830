// For `node --import`: a coordinator writes its event loop's delay (99th percentile and longest, in milliseconds) into
// EVENT_LOOP_DELAY.PID each second.
import { writeFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

const path = process.env["EVENT_LOOP_DELAY"];
if (path && process.argv[1]?.endsWith("coordinator/main.js")) {
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const write = () => {
    const figures = { p99: delay.percentile(99) / 1e6, longest: delay.max / 1e6 };
    writeFileSync(`${path}.${process.pid}`, JSON.stringify(figures));
  };
  setInterval(write, 1000).unref();
}
