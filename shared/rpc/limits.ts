import type { ChannelOptions } from "@grpc/grpc-js";

const mebibyte = 1024 * 1024;

/** Bytes of a flat vector that travel in one message. */
export const chunkBytes = mebibyte;

/** Bytes that a peer may send ahead of their being read, per connection and per stream. */
export const receiveWindowBytes = 4 * mebibyte;

/**
 * Limits of every connection. grpc-js switches off Node's own limit of an HTTP/2 session's memory, so it is set here;
 * the window stays at 4 MiB because larger ones let two peers fill each other's buffers.
 */
export const channelLimits: ChannelOptions = {
  "grpc.max_receive_message_length": 8 * mebibyte,
  "grpc.max_send_message_length": 8 * mebibyte,
  "grpc-node.max_session_memory": 64,
  "grpc-node.flow_control_window": receiveWindowBytes,
  // A retry would keep copies of what was sent; here the caller decides what to send again.
  "grpc.enable_retries": 0,
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 10_000,
};

/** What a server adds. */
export const serverLimits: ChannelOptions = {
  ...channelLimits,
  "grpc.max_concurrent_streams": 4096,
};
