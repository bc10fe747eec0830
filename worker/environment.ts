import { readFileSync } from "node:fs";
import { CoordError } from "../shared/errors.ts";
import type { Endpoint } from "../shared/rpc/client.ts";

/** Milliseconds that a worker or agent waits for a lost coordinator, unless COORD_RECONNECT_BUDGET_MS says otherwise. */
const defaultReconnectBudgetMs = 60_000;

/** The value of a variable that whoever started this process must have set. */
export function required(name: string): string {
  const value = process.env[name];
  if (!value) {
    throw new CoordError("CONFIG_INVALID", `The variable ${name} is not set; workers are started by \`coord agent\`.`);
  }
  return value;
}

export function requiredInteger(name: string): number {
  const value = required(name);
  if (!/^\d{1,9}$/.test(value)) {
    throw new CoordError(
      "CONFIG_INVALID",
      `The variable ${name} must be a whole number, not ${JSON.stringify(value)}.`,
    );
  }
  return Number(value);
}

export function reconnectBudgetMs(): number {
  return process.env["COORD_RECONNECT_BUDGET_MS"]
    ? requiredInteger("COORD_RECONNECT_BUDGET_MS")
    : defaultReconnectBudgetMs;
}

/** How to reach the coordinator: the token and the certificate authority come from files, never from arguments. */
export function endpointFrom(address: string): Endpoint {
  const tlsCa = process.env["COORD_TLS_CA"];
  return {
    address,
    token: readCredential("COORD_TOKEN_FILE", required("COORD_TOKEN_FILE")).trim(),
    ...(tlsCa ? { tlsCa: readCredential("COORD_TLS_CA", tlsCa) } : {}),
  };
}

function readCredential(name: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new CoordError("CONFIG_INVALID", `${name} names ${path}, which cannot be read.`, { cause });
  }
}
