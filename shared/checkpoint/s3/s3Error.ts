import { CoordError } from "../../errors.ts";

const remedies: Readonly<Record<string, string>> = {
  NoSuchBucket: "there is no such bucket; make it, or choose another --output",
  InvalidBucketName: "that is not a name of a bucket",
  AccessDenied: "access is denied; these credentials must be allowed to list, read, write and delete there",
  Forbidden: "access is denied; these credentials must be allowed to list, read, write and delete there",
  InvalidAccessKeyId: "the server does not know AWS_ACCESS_KEY_ID",
  SignatureDoesNotMatch: "AWS_SECRET_ACCESS_KEY does not belong to the access key",
  ExpiredToken: "the credentials have expired; renew them and run coord resume",
  CredentialsProviderError: "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
  PermanentRedirect: "the bucket is in another region; set AWS_REGION",
  QuotaExceeded: "the quota is used up; free space there, or choose another --output or a smaller --save-total-limit",
  SlowDown: "the server asks for fewer requests; try again later",
  ECONNREFUSED: "nothing listens at AWS_ENDPOINT_URL",
  ENOTFOUND: "the host of the server is not known; check AWS_ENDPOINT_URL and the network",
};

/** Wraps what a request threw: STORAGE_FAILED with the URL, the bytes concerned and the way out. */
export function s3Error(thrown: unknown, doing: string, url: string, bytes?: number): CoordError {
  if (thrown instanceof CoordError) return thrown;
  const { code, message, name } = thrown as Error & { code?: string };
  const kind = code !== undefined && Object.hasOwn(remedies, code) ? code : name;
  const why = remedies[kind] ?? (message === "Region is missing" ? "set AWS_REGION" : message);
  const size = bytes === undefined ? "" : ` (${bytes} bytes)`;
  return new CoordError("STORAGE_FAILED", `Could not ${doing} ${url}${size}: ${why} (${kind}).`, { cause: thrown });
}
