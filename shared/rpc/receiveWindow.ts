import type { Http2Server } from "node:http2";
import type { Server, ServerCredentials } from "@grpc/grpc-js";

/**
 * Lets clients send `bytes` ahead on each connection and each stream of `server`; call before it binds. grpc-js heeds
 * `grpc-node.flow_control_window` only in its client: uploads to a server of its own would stop every 64 KiB to wait
 * for leave to go on. It hands its HTTP/2 servers to nobody, hence the way around.
 */
export function setReceiveWindow(server: Server, bytes: number): void {
  const internals = server as unknown as { createHttp2Server(credentials: ServerCredentials): Http2Server };
  const create = internals.createHttp2Server.bind(server);
  internals.createHttp2Server = (credentials) => {
    const http2Server = create(credentials);
    http2Server.on("session", (session) => {
      session.settings({ initialWindowSize: bytes });
      session.setLocalWindowSize(bytes);
    });
    return http2Server;
  };
}
