import {
  type ChildProcess,
  type ChildProcessWithoutNullStreams,
  execFileSync,
  spawn,
  spawnSync,
} from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import getPort from "get-port";
import { eventually } from "./coord.ts";

const program = "/usr/sbin/sshd";

/** Why there can be no sshd here; undefined where there can. */
export function whyNoSshd(): string | undefined {
  if (!existsSync(program)) return `${program} is missing: openssh-server`;
  const missing = ["ssh", "ssh-keygen"].find((name) => spawnSync(name, ["-V"]).error !== undefined);
  return missing === undefined ? undefined : `${missing} is missing: openssh-client`;
}

/** An sshd on loopback with a host key, a user's key and a configuration of its own, below `directory`. */
export class LocalSshd {
  private constructor(
    private readonly directory: string,
    private readonly server: ChildProcess,
  ) {}

  static async start(directory: string): Promise<LocalSshd> {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    // Where sshd of root puts away its rights; it refuses to start without it.
    if (userInfo().uid === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
    for (const name of ["host", "user"]) {
      execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(directory, name)]);
    }
    const port = await getPort({ host: "127.0.0.1" });
    const [type, key] = readFileSync(join(directory, "host.pub"), "utf8").split(" ");
    writeFileSync(join(directory, "known_hosts"), `[127.0.0.1]:${port} ${type} ${key}\n`);
    write(directory, "sshd_config", [
      `ListenAddress 127.0.0.1:${port}`,
      `HostKey ${join(directory, "host")}`,
      `AuthorizedKeysFile ${join(directory, "user.pub")}`,
      `PidFile ${join(directory, "sshd.pid")}`,
      "StrictModes no",
      "UsePAM no",
      "PermitRootLogin yes",
      "PasswordAuthentication no",
    ]);
    write(directory, "ssh_config", [
      "Host *",
      "  HostName 127.0.0.1",
      `  Port ${port}`,
      `  User ${userInfo().username}`,
      `  IdentityFile ${join(directory, "user")}`,
      "  IdentitiesOnly yes",
      "  BatchMode yes",
      `  UserKnownHostsFile ${join(directory, "known_hosts")}`,
    ]);
    const log = join(directory, "sshd.log");
    const server = spawn(program, ["-D", "-f", join(directory, "sshd_config"), "-E", log], { stdio: "ignore" });
    await eventually("the sshd", async () => {
      if (server.exitCode !== null) throw new Error(`sshd ended: ${readFileSync(log, "utf8")}`);
      return (await answers(port)) ? true : undefined;
    });
    return new LocalSshd(directory, server);
  }

  /** Runs a command line in a terminal at the other end, as `ssh -t HOST COMMAND` in a shell does. */
  open(command: string): SshConnection {
    return new SshConnection(join(this.directory, "ssh_config"), command);
  }

  /** Processes of sshd that carry the connections which are open. */
  sessions(): number[] {
    const { stdout } = spawnSync("ps", ["-o", "pid=", "--ppid", String(this.server.pid)], { encoding: "utf8" });
    return stdout
      .split("\n")
      .map(Number)
      .filter((pid) => pid > 0);
  }

  async stop(): Promise<void> {
    if (this.server.exitCode !== null) return;
    for (const pid of this.sessions()) process.kill(pid, "SIGKILL");
    this.server.kill("SIGTERM");
    await once(this.server, "exit");
  }
}

/** One `ssh -tt`, what came through it, and the keys that are pressed in it. */
export class SshConnection {
  readonly #client: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<unknown>;
  #text = "";

  constructor(config: string, command: string) {
    this.#client = spawn("ssh", ["-tt", "-F", config, "host", command]);
    this.#ended = once(this.#client, "close");
    for (const stream of [this.#client.stdout, this.#client.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.#text += text;
      });
    }
    // Keys that are pressed after the end go nowhere.
    this.#client.stdin.on("error", () => {});
  }

  /** What has come, once it shows what is waited for. */
  async until(what: RegExp): Promise<string> {
    try {
      return await eventually(`${what} over ssh`, async () => (what.test(this.#text) ? this.#text : undefined));
    } catch (thrown) {
      throw new Error(`${(thrown as Error).message} There was: ${JSON.stringify(this.#text.slice(-2000))}`);
    }
  }

  press(keys: string): void {
    this.#client.stdin.write(keys);
  }

  /** Ends the client as a laptop that is shut does: nothing is said to the other end. */
  kill(): void {
    this.#client.kill("SIGKILL");
  }

  async ended(): Promise<void> {
    await this.#ended;
  }
}

function write(directory: string, name: string, lines: readonly string[]): void {
  writeFileSync(join(directory, name), `${lines.join("\n")}\n`, { mode: 0o600 });
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
