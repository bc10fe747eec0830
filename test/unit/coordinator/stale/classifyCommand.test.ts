import { describe, expect, it } from "vitest";
import { classifyCommand, optionValue } from "../../../../coordinator/stale/classifyCommand.ts";

const classify = (line: string) => classifyCommand(line.split(" "));

describe("classifyCommand", () => {
  it("knows the programs of a run", () => {
    expect(classify("/usr/bin/node /opt/coord/dist/worker/main.js")).toBe("worker");
    expect(classify("node --max-old-space-size=4096 -r ./hook.js /opt/coord/dist/worker/main.js")).toBe("worker");
    expect(classify("node /opt/coord/dist/worker/agentMain.js --join 127.0.0.1:1 --node-rank 1")).toBe("agent");
    expect(classify("node /opt/coord/dist/coordinator/main.js")).toBe("coordinator");
    expect(classify("node /opt/coord/dist/coordinator/coordinatorMain.js")).toBe("coordinator");
    expect(classify("node /opt/coord/dist/coordinator/cli/main.js agent --join h:1 --node-rank 0")).toBe("agent");
    expect(classify("node /opt/coord/node_modules/.bin/coord agent --join h:1")).toBe("agent");
  });

  it("takes nothing else for one", () => {
    for (const line of [
      "",
      "node",
      "vim /opt/coord/dist/worker/main.js",
      "node -e setInterval(()=>{},1000) /opt/coord/dist/worker/main.js",
      "node /opt/coord/dist/coordinator/cli/main.js status",
      "node /opt/coord/node_modules/.bin/coord logs -f agent",
      "node /opt/other/main.js /opt/coord/dist/worker/main.js",
      "node /opt/homeworker/main.js",
      "tail -f /opt/coord/dist/worker/main.js",
    ]) {
      expect(classify(line), line).toBeUndefined();
    }
  });
});

describe("optionValue", () => {
  it("reads both spellings", () => {
    expect(optionValue(["--node-rank", "3"], "--node-rank")).toBe("3");
    expect(optionValue(["--node-rank=3"], "--node-rank")).toBe("3");
    expect(optionValue(["--other", "3"], "--node-rank")).toBeUndefined();
  });
});
