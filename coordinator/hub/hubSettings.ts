import { homedir } from "node:os";
import { join } from "node:path";

/** Where the hub is and what is kept of it, from the variables that HuggingFace's Python tools use too. */
export interface HubSettings {
  /** Without a slash at the end. */
  readonly endpoint: string;
  readonly token: string | undefined;
  /** Directory that `huggingface_hub` keeps repositories in, so that what Python has downloaded is found. */
  readonly cacheDirectory: string;
  readonly offline: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Reads HF_ENDPOINT, HF_TOKEN, HF_HUB_CACHE, HF_HOME and HF_HUB_OFFLINE. */
export function hubSettings(environment: Environment): HubSettings {
  const given = (name: string) => (environment[name] === "" ? undefined : environment[name]);
  const home = given("HF_HOME") ?? join(given("XDG_CACHE_HOME") ?? join(homedir(), ".cache"), "huggingface");
  return {
    endpoint: (given("HF_ENDPOINT") ?? "https://huggingface.co").replace(/\/+$/, ""),
    token: given("HF_TOKEN")?.trim(),
    cacheDirectory: given("HF_HUB_CACHE") ?? join(home, "hub"),
    offline: /^(1|on|yes|true)$/i.test(given("HF_HUB_OFFLINE") ?? ""),
  };
}
