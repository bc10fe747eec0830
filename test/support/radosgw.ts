import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { execa } from "execa";
import getPort from "get-port";

const programs = ["ceph-mon", "ceph-osd", "ceph", "ceph-authtool", "monmaptool", "radosgw", "radosgw-admin"];

/** Which of the programs is not installed; undefined when all are. Debian has them in ceph-mon, ceph-osd and radosgw. */
export function missingCeph(): string | undefined {
  const directories = (process.env["PATH"] ?? "").split(delimiter);
  return programs.find((program) => !directories.some((directory) => existsSync(join(directory, program))));
}

export interface Radosgw {
  /** What a client needs, in AWS's variables. */
  readonly environment: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** Starts a one-node Ceph cluster in memory and its S3 server, all on loopback and without privileges; about 15 s. */
export async function startRadosgw(): Promise<Radosgw> {
  const root = mkdtempSync(join(tmpdir(), "coord-ceph-"));
  const [monitorPort, port] = [await getPort(), await getPort()];
  const conf = join(root, "ceph.conf");
  const fsid = randomUUID();
  for (const name of ["mon", "osd"]) mkdirSync(join(root, name));
  writeFileSync(conf, configuration(root, fsid, monitorPort, port));
  const ceph = (program: string, ...args: string[]) => execa(program, ["-c", conf, ...args], { cwd: root });
  const children: ChildProcess[] = [];
  const daemon = (program: string, ...args: string[]) => {
    const log = openSync(join(root, `${program}.out`), "a");
    children.push(spawn(program, ["-c", conf, ...args, "-f"], { cwd: root, stdio: ["ignore", log, log] }));
  };
  const stop = async () => {
    for (const child of children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
    }
    rmSync(root, { recursive: true, force: true });
  };
  try {
    const keyring = join(root, "keyring");
    const allowed = ["--cap", "mon", "allow *", "--cap", "osd", "allow *"];
    await execa("ceph-authtool", [keyring, "--create-keyring", "--gen-key", "-n", "mon.", ...allowed]);
    await execa("ceph-authtool", [keyring, "--gen-key", "-n", "client.admin", ...allowed]);
    const address = `[v2:127.0.0.1:${monitorPort}]`;
    await execa("monmaptool", ["--create", "--fsid", fsid, "--addv", "a", address, join(root, "monmap")]);
    await ceph("ceph-mon", "--mkfs", "-i", "a", "--monmap", join(root, "monmap"), "--keyring", keyring);
    daemon("ceph-mon", "-i", "a");
    const disk = randomUUID();
    await ceph("ceph", "--connect-timeout", "60", "osd", "new", disk);
    await ceph("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk);
    daemon("ceph-osd", "-i", "0");
    const [key, secret] = [`KEY${randomUUID().slice(0, 8)}`, randomUUID()];
    const user = ["--uid", "coord", "--display-name", "coord", "--access-key", key, "--secret-key", secret];
    await ceph("radosgw-admin", "user", "create", ...user);
    daemon("radosgw", "-n", "client.admin");
    await answering(`http://127.0.0.1:${port}/`);
    const environment = {
      AWS_ENDPOINT_URL: `http://127.0.0.1:${port}`,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: key,
      AWS_SECRET_ACCESS_KEY: secret,
    };
    return { environment, stop };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

async function answering(url: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const answered = await fetch(url).then(
      ({ ok }) => ok,
      () => false,
    );
    if (answered) return;
    if (Date.now() > deadline) throw new Error(`radosgw does not answer at ${url}.`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function configuration(root: string, fsid: string, monitorPort: number, port: number): string {
  return `[global]
fsid = ${fsid}
mon host = [v2:127.0.0.1:${monitorPort}]
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
# radosgw asks for an encrypted connection otherwise, which needs keys.
ms mon client mode = crc
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
# A disk that others have filled is no reason not to test.
mon data avail crit = 0
mon data avail warn = 0
run dir = ${root}
log file = ${root}/$name.log
admin socket = ${root}/$name.asok
mon data = ${root}/mon
osd data = ${root}/osd
osd objectstore = memstore
memstore device bytes = 1073741824
keyring = ${root}/keyring
rgw data = ${root}
rgw frontends = beast endpoint=127.0.0.1:${port}
rgw dynamic resharding = false
`;
}
