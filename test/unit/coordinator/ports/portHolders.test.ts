import { describe, expect, it } from "vitest";
import { parseListeners } from "../../../../coordinator/ports/portHolders.ts";

describe("parseListeners", () => {
  it("takes listening sockets only, IPv4 and IPv6", () => {
    const table = [
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
      "   0: 0100007F:733C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0",
      "   1: 0100007F:733D 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0",
      "   2: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 4713 1 0",
      "",
    ].join("\n");
    expect([...parseListeners(table)]).toEqual([
      ["4711", 29500],
      ["4713", 8080],
    ]);
    expect(parseListeners("").size).toBe(0);
  });
});
