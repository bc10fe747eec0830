import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";

/** A certificate authority made for one run, and what it has signed, in PEM. The authority's own key is not kept. */
export interface RunCertificates {
  readonly ca: string;
  readonly server: CertificateAndKey;
  /** Shown by agents, workers and commands. */
  readonly client: CertificateAndKey;
}

export interface CertificateAndKey {
  readonly certificate: string;
  readonly key: string;
}

const dayMs = 86_400_000;
/** Longer than any run, shorter than what a forgotten directory should be worth. */
const validDays = 365;
/** Hosts whose clocks are behind must not find the certificate not valid yet. */
const backdatedDays = 1;

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/**
 * Makes an authority, a certificate for the coordinator under `names` (host names and addresses) and one for its
 * callers. `validForMs` counts from `now`.
 */
export async function issueCertificates(
  names: readonly string[],
  { now = Date.now(), validForMs = validDays * dayMs } = {},
): Promise<RunCertificates> {
  // Loaded here: most commands never need it, and it takes longer to load than they take to run.
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const newKeys = () => crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const validity = { notBefore: new Date(now - backdatedDays * dayMs), notAfter: new Date(now + validForMs) };
  const authority = await newKeys();
  const subject = "CN=coord run authority";
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: subject,
    ...validity,
    signingAlgorithm: algorithm,
    keys: authority,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  const issue = async (commonName: string, usage: string, alternatives: readonly string[]) => {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      subject: `CN=${commonName}`,
      issuer: subject,
      ...validity,
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey: authority.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([usage]),
        ...(alternatives.length === 0
          ? []
          : [
              new x509.SubjectAlternativeNameExtension(
                alternatives.map((value) => ({ type: isIP(value) ? ("ip" as const) : ("dns" as const), value })),
              ),
            ]),
      ],
    });
    const key = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
    return { certificate: certificate.toString("pem"), key: x509.PemConverter.encode(key, "PRIVATE KEY") };
  };
  return {
    ca: ca.toString("pem"),
    server: await issue("coord coordinator", x509.ExtendedKeyUsage.serverAuth, names),
    client: await issue("coord caller", x509.ExtendedKeyUsage.clientAuth, []),
  };
}

/** Whether a certificate is of the authority `ca`, good for all `names`, and for `forMs` more milliseconds. */
export function covers(pem: string, ca: string, names: readonly string[], forMs: number, now = Date.now()): boolean {
  const certificate = new X509Certificate(pem);
  return (
    certificate.verify(new X509Certificate(ca).publicKey) &&
    Date.parse(certificate.validTo) > now + forMs &&
    names.every((name) => (isIP(name) ? certificate.checkIP(name) : certificate.checkHost(name)) !== undefined)
  );
}
