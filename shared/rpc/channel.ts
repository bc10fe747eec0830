import { type ChannelCredentials, type ChannelInterface, Client, connectivityState, credentials } from "@grpc/grpc-js";
import type { Credentials } from "./credentials.ts";
import { channelLimits } from "./limits.ts";

/** Milliseconds that an attempt to connect may take. */
export const connectMs = 3000;

/** A client with a connection of its own, which it begins at its first call. */
export function createClient(address: string, shown: Credentials): Client {
  return new Client(address, channelCredentials(shown), {
    ...channelLimits,
    "grpc.use_local_subchannel_pool": 1,
    // A proxy from the environment has no business between a worker and its coordinator.
    "grpc.enable_http_proxy": 0,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
  });
}

/** Begins to connect where there is no connection; true when neither yes nor no has come in time. Throws the signal's reason. */
export async function isSilent(channel: ChannelInterface, signal: AbortSignal): Promise<boolean> {
  const deadline = Date.now() + connectMs;
  for (;;) {
    signal.throwIfAborted();
    const state = channel.getConnectivityState(true);
    if (state === connectivityState.READY || state === connectivityState.TRANSIENT_FAILURE) return false;
    const isLate = await new Promise<boolean>((resolve) =>
      channel.watchConnectivityState(state, deadline, (error) => resolve(error !== undefined)),
    );
    if (isLate) return true;
  }
}

function channelCredentials({ identity, tlsCa }: Credentials): ChannelCredentials {
  if (tlsCa === undefined) return credentials.createInsecure();
  const ca = Buffer.from(tlsCa);
  return identity
    ? credentials.createSsl(ca, Buffer.from(identity.key), Buffer.from(identity.certificate))
    : credentials.createSsl(ca);
}
