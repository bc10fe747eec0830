// Adds to package-lock.json the optional packages of other platforms that npm left out because its registry does not
// carry them: `npm ci` refuses a lock without them, on every platform. Run after each `npm install NAME`.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const path = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "package-lock.json");
const lock = JSON.parse(readFileSync(path, "utf8"));

for (const [owner, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(owner === "" ? {} : (entry.optionalDependencies ?? {}))) {
    const place = `node_modules/${name}`;
    const platform = /-(android|darwin|freebsd|linux|win32)-(arm64|x64|armv7|arm|ia32)(-musl|-gnu)?$/.exec(name);
    if (lock.packages[place] || !platform || !/^\d/.test(version)) continue;
    const [, os, cpu, libc] = platform;
    lock.packages[place] = {
      version,
      cpu: [cpu === "armv7" ? "arm" : cpu],
      ...(entry.dev ? { dev: true } : {}),
      ...(entry.license ? { license: entry.license } : {}),
      ...(libc ? { libc: [libc === "-musl" ? "musl" : "glibc"] } : {}),
      optional: true,
      os: [os],
      ...(entry.engines ? { engines: entry.engines } : {}),
    };
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(path, `${JSON.stringify(lock, undefined, 2)}\n`);
