import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { configTemplate } from "../../../../shared/config/configTemplate.ts";
import { resolveConfig } from "../../../../shared/config/resolve.ts";
import { settings, snakeCase } from "../../../../shared/config/settings.ts";

describe("configTemplate", () => {
  it("changes nothing as it is written", () => {
    expect(parse(configTemplate())).toBeNull();
  });

  it("gives every setting its default once the comment signs are taken away", () => {
    const uncommented = configTemplate().replaceAll(/^# ([a-z][a-z0-9_]*: \S)/gm, "$1");
    const values = parse(uncommented) as Record<string, unknown>;
    expect(resolveConfig({ file: { name: "coord.yaml", values } }).config).toEqual(resolveConfig({}).config);
    const withDefault = settings.filter((setting) => setting.default !== undefined);
    expect(Object.keys(values).sort()).toEqual(withDefault.map(({ flag }) => snakeCase(flag)).sort());
  });

  it("fills in what was given", () => {
    const values = parse(configTemplate({ loraR: 16, model: "a: b", targetModules: ["q_proj"] })) as unknown;
    expect(values).toEqual({ lora_r: 16, model: "a: b", target_modules: ["q_proj"] });
  });

  it("keeps lines readable", () => {
    const lines = configTemplate().split("\n");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(120);
  });
});
