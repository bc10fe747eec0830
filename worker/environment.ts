import { CoordError } from "../shared/errors.ts";
import type { Endpoint } from "../shared/rpc/client.ts";
import { readCredentials, readCredentialText } from "../shared/rpc/credentials.ts";

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

/** How to reach the coordinator: token, certificates and key come from files, never from arguments. */
export function endpointFrom(address: string): Endpoint {
  const credentials = readCredentials("COORD_TOKEN_FILE", required("COORD_TOKEN_FILE"));
  const tlsCa = process.env["COORD_TLS_CA"];
  return { address, ...credentials, ...(tlsCa ? { tlsCa: readCredentialText("COORD_TLS_CA", tlsCa) } : {}) };
}
