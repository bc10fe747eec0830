import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { packageRoot } from "../../../../shared/process/packageRoot.ts";

const read = (path: string) => readFileSync(join(packageRoot(), path), "utf8");

/** Instructions with their continuation lines joined, comments left out. */
function instructions(): { name: string; words: string[] }[] {
  const text = read("deploy/docker/Dockerfile")
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .join("\n")
    .replaceAll(/\\\n\s*/g, "");
  return text.split("\n").flatMap((line) => {
    const [name, ...words] = line.trim().split(/\s+/);
    return name ? [{ name, words }] : [];
  });
}

/** True when the path is sent to the builder: the last pattern of .dockerignore that fits it or a parent decides. */
function isInContext(path: string): boolean {
  const parents = path.split("/").map((_, index, parts) => parts.slice(0, index + 1).join("/"));
  let ignored = false;
  for (const line of read(".dockerignore").split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const pattern = line.replace(/^!/, "");
    if (parents.some((parent) => fits(pattern, parent))) ignored = !line.startsWith("!");
  }
  return !ignored;
}

/** The one wildcard that .dockerignore uses: any name at one level. */
function fits(pattern: string, path: string): boolean {
  const names = pattern.split("/");
  const given = path.split("/");
  return names.length === given.length && names.every((name, level) => name === "*" || name === given[level]);
}

const copiedFromContext = () =>
  instructions()
    .filter(({ name, words }) => name === "COPY" && !words[0]!.startsWith("--from"))
    .flatMap(({ words }) => words.slice(0, -1));

describe("the Dockerfile", () => {
  it("copies only what is there and what .dockerignore lets through", () => {
    expect(copiedFromContext()).not.toEqual([]);
    for (const source of copiedFromContext()) {
      expect(existsSync(join(packageRoot(), source)), source).toBe(true);
      expect(isInContext(source), source).toBe(true);
    }
  });

  it("lets nothing else into the build: no history, no local dependencies, no secrets, no tests", () => {
    const kept = [
      ".git/config",
      "node_modules/zod/package.json",
      "dist/coordinator/main.js",
      "deploy/k8s/base/secrets/token",
      "test/unit/backoff.test.ts",
      "test/support/manifests.ts",
      "README.md",
    ];
    for (const path of kept) expect(isInContext(path), path).toBe(false);
    expect(isInContext("deploy/demo/data.jsonl")).toBe(true);
  });

  it("compiles what the build configuration includes", () => {
    const { include } = JSON.parse(read("tsconfig.build.json")) as { include: string[] };
    expect(copiedFromContext()).toEqual(expect.arrayContaining(include));
  });

  it("never runs install scripts, and takes production dependencies alone into the image", () => {
    const installs = instructions().filter(
      ({ name, words }) => name === "RUN" && words[0] === "npm" && words[1] === "ci",
    );
    expect(installs).toHaveLength(2);
    for (const { words } of installs) expect(words).toContain("--ignore-scripts");
    expect(installs[0]!.words).toContain("--omit=dev");
    const modules = instructions().filter(
      ({ name, words }) => name === "COPY" && words.join(" ").includes("node_modules"),
    );
    expect(modules.map(({ words }) => words[0])).toEqual(["--from=dependencies-cuda", "--from=dependencies"]);
  });

  it("starts coord as a user that Kubernetes can tell from root", () => {
    const last = (name: string) =>
      instructions()
        .findLast((instruction) => instruction.name === name)
        ?.words.join(" ");
    expect(last("USER")).toBe("1000:1000");
    expect(last("ENTRYPOINT")).toBe('["coord"]');
    const { bin } = JSON.parse(read("package.json")) as { bin: { coord: string } };
    expect(read("deploy/docker/Dockerfile")).toContain(`ln -s /app/${bin.coord} /usr/local/bin/coord`);
  });

  it("uses a Node that package.json allows", () => {
    expect(read("deploy/docker/Dockerfile")).toMatch(/^ARG NODE_IMAGE=node:20-bookworm-slim$/m);
    const stages = instructions().filter(({ name }) => name === "FROM");
    // biome-ignore-start lint/suspicious/noTemplateCurlyInString: Docker's own syntax.
    expect(stages.map(({ words }) => words.join(" "))).toEqual([
      "${NODE_IMAGE} AS dependencies",
      "dependencies AS dependencies-cuda",
      "${NODE_IMAGE} AS build",
      "${CUDA_IMAGE} AS cuda",
      "${NODE_IMAGE} AS cpu",
    ]);
    // biome-ignore-end lint/suspicious/noTemplateCurlyInString: Docker's own syntax.
  });

  it("has the same program, entry point and user in both variants", () => {
    const text = read("deploy/docker/Dockerfile");
    const [cuda, cpu] = [" AS cuda\n", " AS cpu\n"].map((name) => text.slice(text.indexOf(name) + name.length));
    const lines = (stage: string) =>
      stage
        .split(/\n# |\nFROM /)[0]!
        .split("\n")
        .filter((line) => line !== "" && !line.includes("/usr/local/bin/node /usr"));
    const rest = (stage: string) => stage.split("\n").filter((line) => !line.startsWith("#") && line !== "");
    expect(lines(cuda!).map((line) => line.replace("dependencies-cuda", "dependencies"))).toEqual(rest(cpu!));
  });

  it("lists what is in the image: each production dependency, with its licence and the hash that npm installs by", () => {
    const { scripts, dependencies } = JSON.parse(read("package.json")) as {
      scripts: { sbom: string };
      dependencies: Record<string, string>;
    };
    expect(instructions().some(({ words }) => words.join(" ") === "npm run --silent sbom > sbom.cdx.json")).toBe(true);
    const text = execFileSync("sh", ["-c", scripts.sbom], { cwd: packageRoot(), stdio: ["ignore", "pipe", "ignore"] });
    const { components } = JSON.parse(text.toString()) as {
      components: { name: string; version: string; licenses?: object[]; hashes?: object[] }[];
    };
    for (const [name, version] of Object.entries(dependencies)) {
      const found = components.find((component) => component.name === name && component.version === version);
      expect(found?.hashes, name).toHaveLength(1);
      expect(found?.licenses, name).not.toEqual([]);
    }
    expect(components.map(({ name }) => name)).not.toContain("vitest");
  });
});
