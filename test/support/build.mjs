// Compiles the program into dist/. Runs as npm's `prepare`, so `npm ci` in a fresh clone leaves a working `npx coord`.
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc");

execFileSync(process.execPath, [tsc, "-p", join(root, "tsconfig.build.json")], { cwd: root, stdio: "inherit" });

// The dashboard's page: one script and one style sheet, nothing from outside.
const page = join(root, "coordinator", "dashboard", "app");
await build({
  root: page,
  configFile: false,
  logLevel: "warn",
  build: { outDir: join(root, "dist", "dashboard"), emptyOutDir: true, assetsInlineLimit: 0, modulePreload: false },
});

// npm links the commands of dependencies but not those of the package itself; with the link in place `npx coord`
// starts at once and without asking the registry.
const command = join(root, "dist", "coordinator", "cli", "main.js");
const link = join(root, "node_modules", ".bin", "coord");
chmodSync(command, 0o755);
mkdirSync(dirname(link), { recursive: true });
rmSync(link, { force: true });
symlinkSync(join("..", "..", "dist", "coordinator", "cli", "main.js"), link);
