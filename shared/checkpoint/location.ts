import { join, resolve } from "node:path";
import { CoordError } from "../errors.ts";

/** Where objects are kept: `s3://bucket/prefix`. */
export interface S3Location {
  readonly bucket: string;
  /** Without slashes at its ends; may be empty. */
  readonly prefix: string;
}

/** Whether an output is object storage rather than a directory. */
export function isS3(location: string): boolean {
  return /^s3:\/\//i.test(location);
}

/** Throws CONFIG_INVALID. */
export function parseS3Location(location: string): S3Location {
  const [, bucket, rest = ""] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(\/.*)?$/i.exec(location) ?? [];
  const segments = rest.split("/").filter((segment) => segment !== "");
  if (bucket === undefined || segments.some((segment) => segment === "." || segment === "..")) {
    throw new CoordError("CONFIG_INVALID", `${location} does not name object storage; it must be s3://BUCKET/PREFIX.`);
  }
  return { bucket, prefix: segments.join("/") };
}

/** An absolute path, or the URL as every part of the program writes it. Throws CONFIG_INVALID. */
export function absoluteLocation(location: string, workingDirectory = "."): string {
  if (!isS3(location)) return resolve(workingDirectory, location);
  const { bucket, prefix } = parseS3Location(location);
  return prefix === "" ? `s3://${bucket}` : `s3://${bucket}/${prefix}`;
}

/** A place below a location. */
export function within(location: string, name: string): string {
  return isS3(location) ? `${location}/${name}` : join(location, name);
}
