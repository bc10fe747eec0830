// Draws the README's picture: runs `npx coord launch --nodes 2 --gpus 8` in a real terminal (tmux, 96 columns) and
// writes what stands on the screen, half way and at the end, as deploy/demo/launch.svg.
//   npm run build && node test/support/terminalPicture.mjs
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const home = mkdtempSync(join(tmpdir(), "coord-picture-"));
const session = `coord-picture-${process.pid}`;
const [columns, rows] = [96, 40];
const [cellWidth, lineHeight, margin] = [8.4, 18, 16];

const colors = { 31: "#ef6b73", 32: "#8ccf7e", 33: "#e5c76b", 34: "#6cb6ff", 35: "#c397d8", 36: "#67cbe7" };

const tmux = (...args) => execFileSync("tmux", ["-L", session, ...args], { encoding: "utf8" });
const screen = () => tmux("capture-pane", "-p", "-e", "-t", session).replace(/\n+$/, "").split("\n");

try {
  const command = "npx coord launch --nodes 2 --gpus 8";
  const setUp = `cd ${root}; export COORD_HOME=${home}/home COORD_OUTPUT=${home}/output TERM=xterm-256color; clear`;
  tmux("new-session", "-d", "-s", session, "-x", String(columns), "-y", String(rows), "sh");
  tmux("send-keys", "-t", session, `${setUp}; PS1='$ '; clear`, "Enter");
  await delay(1000);
  tmux("send-keys", "-t", session, command, "Enter");
  const half = await until((lines) => Number(/(\d+)%/.exec(plain(lines))?.[1] ?? 0) >= 50);
  const end = await until((lines) => plain(lines).includes("inspect"));
  const summary = end.slice(end.findIndex((line) => plain([line]).startsWith("finished")));
  const gap = ["", "…", ""];
  // What npm says between the command and the program's first line is not the program's.
  const first = half.findIndex((line) => /^\d\d:\d\d:\d\d/.test(plain([line])));
  const prompt = half.filter((line) => plain([line]).startsWith(`$ ${command}`));
  const lines = [...prompt, ...half.slice(first), ...gap, ...summary].map((line) => line.replaceAll(home, "~"));
  writeFileSync(join(root, "deploy", "demo", "launch.svg"), draw(lines.filter((line) => plain([line]).trim() !== "$")));
} finally {
  tmux("kill-server");
  rmSync(home, { recursive: true, force: true });
}

async function until(condition) {
  for (let tries = 0; tries < 600; tries++) {
    const lines = screen();
    if (condition(lines)) return lines;
    await delay(250);
  }
  throw new Error(`The screen never showed what was waited for:\n${plain(screen())}`);
}

function plain(lines) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is taken out
  return lines.join("\n").replace(/\x1b\[[0-9;]*m/g, "");
}

/** An SVG with one <text> per line and a <tspan> per run of the same style. */
function draw(lines) {
  const width = Math.round(columns * cellWidth + 2 * margin);
  const height = lines.length * lineHeight + 2 * margin;
  const texts = lines.map((line, index) => {
    const y = margin + (index + 1) * lineHeight - 5;
    return `<text x="${margin}" y="${y}" xml:space="preserve">${spans(line)}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="Progress and summary of coord launch">`,
    `<rect width="100%" height="100%" rx="8" fill="#16181d"/>`,
    `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14" fill="#d7dae0">`,
    ...texts,
    "</g></svg>",
    "",
  ].join("\n");
}

function spans(line) {
  let style = {};
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is read
  return line.split(/(\x1b\[[0-9;]*m)/).reduce((drawn, part) => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is read
    const codes = /^\x1b\[([0-9;]*)m$/.exec(part);
    if (codes) {
      style = codes[1].split(";").reduce(applyCode, style);
      return drawn;
    }
    return part === "" ? drawn : `${drawn}<tspan${attributes(style)}>${escapeXml(part)}</tspan>`;
  }, "");
}

function applyCode(style, code) {
  const number = Number(code || 0);
  if (number === 0) return {};
  if (number === 1) return { ...style, bold: true };
  if (number === 2) return { ...style, dim: true };
  if (number === 22) return { color: style.color };
  if (number === 39) return { ...style, color: undefined };
  return { ...style, color: colors[number] ?? style.color };
}

function attributes({ bold, dim, color }) {
  return `${bold ? ' font-weight="bold"' : ""}${dim ? ' opacity="0.6"' : ""}${color ? ` fill="${color}"` : ""}`;
}

function escapeXml(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
