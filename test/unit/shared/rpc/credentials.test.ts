import { describe, expect, it } from "vitest";
import { covers, issueCertificates } from "../../../../coordinator/runs/issueCertificates.ts";
import { formatCredentials, parseCredentials } from "../../../../shared/rpc/credentials.ts";

describe("a credentials file", () => {
  it("holds a token alone, or all that TLS needs, and gives back what was put in", async () => {
    const { ca, client } = await issueCertificates(["localhost"]);
    for (const credentials of [
      { token: "t" },
      { token: "t", tlsCa: ca },
      { token: "t", tlsCa: ca, identity: client },
    ]) {
      expect(parseCredentials(formatCredentials(credentials), "file")).toEqual(credentials);
    }
    const crlf = formatCredentials({ token: "t", tlsCa: ca }).replaceAll("\n", "\r\n");
    expect(parseCredentials(crlf, "file").token).toBe("t");
  });

  it.each(["", "\n", "two words\n", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])(
    "without a token in its first line is refused: %j",
    (text) => {
      expect(() => parseCredentials(text, "/run/token")).toThrow("/run/token does not begin with a line");
    },
  );

  it("with a damaged certificate is refused", () => {
    const text = "t\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    expect(() => parseCredentials(text, "/run/token")).toThrow("/run/token holds a certificate that cannot be read.");
  });
});

describe("the certificates of a run", () => {
  it("cover the names asked for, of their own authority, for as long as they are valid", async () => {
    const { ca, server } = await issueCertificates(["node-1", "10.1.2.3", "fd00::1"], { validForMs: 60_000 });
    expect(covers(server.certificate, ca, ["node-1", "10.1.2.3", "fd00::1"], 0)).toBe(true);
    expect(covers(server.certificate, ca, ["node-2"], 0)).toBe(false);
    expect(covers(server.certificate, ca, ["10.1.2.4"], 0)).toBe(false);
    expect(covers(server.certificate, ca, ["node-1"], 120_000)).toBe(false);
    expect(covers(server.certificate, (await issueCertificates([])).ca, ["node-1"], 0)).toBe(false);
  });
});
