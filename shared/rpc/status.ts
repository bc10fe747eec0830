import { Metadata, type ServiceError, type StatusObject, status } from "@grpc/grpc-js";
import { CoordError, type ErrorCode, errorCatalogue, isErrorCode, toCoordError } from "../errors.ts";

/** Trailer that carries the code of the catalogue, so that both sides speak of the same error. */
const codeKey = "coord-error-code";

/** What a server sends for a thrown value. The message of an unknown error stays in the server's log. */
export function toStatus(thrown: unknown): StatusObject {
  const error = toCoordError(thrown);
  const metadata = new Metadata();
  metadata.set(codeKey, error.code);
  const details = error.code === "INTERNAL" ? "Internal error; the coordinator's log has the cause." : error.message;
  return { code: status[errorCatalogue[error.code].grpcStatus], details, metadata };
}

/** What a client throws for a failed call to `address`. */
export function fromServiceError(error: ServiceError, address: string): CoordError {
  const sent = error.metadata?.get(codeKey)[0];
  if (typeof sent === "string" && isErrorCode(sent)) return new CoordError(sent, error.details, { cause: error });
  return new CoordError(codeOf(error), describe(error, address), { cause: error });
}

function codeOf(error: ServiceError): ErrorCode {
  if (isStranger(error)) return "PORT_UNAVAILABLE";
  if (isUntrusted(error)) return "UNAUTHENTICATED";
  switch (error.code) {
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
    case status.CANCELLED:
      return "COORDINATOR_UNREACHABLE";
    case status.UNAUTHENTICATED:
    case status.PERMISSION_DENIED:
      return "UNAUTHENTICATED";
    case status.RESOURCE_EXHAUSTED:
      return "LIMIT_EXCEEDED";
    case status.UNIMPLEMENTED:
    case status.INVALID_ARGUMENT:
      return "INVALID_REQUEST";
    default:
      return "INTERNAL";
  }
}

function describe(error: ServiceError, address: string): string {
  if (isStranger(error)) {
    return `The program that listens on ${address} is not a coord coordinator, or one that wants TLS (--tls-ca); check the address.`;
  }
  if (isUntrusted(error)) {
    return `The coordinator at ${address} and this side do not trust each other's certificates: one is missing, expired, of another run or for another name (${error.details}).`;
  }
  if (error.code === status.UNIMPLEMENTED) {
    return `The program that listens on ${address} is not a coord coordinator of this version (${error.details}).`;
  }
  return `The call to the coordinator at ${address} failed: ${error.details}.`;
}

/** One side has refused the other's certificate: trying again would end the same way. */
function isUntrusted({ code, details }: ServiceError): boolean {
  return code === status.UNAVAILABLE && /Last error: .*(certificate|SSL alert)/i.test(details);
}

/** Somebody is there, but does not speak HTTP/2 in the clear: another program, or TLS where we speak none. */
function isStranger({ code, details }: ServiceError): boolean {
  return code === status.UNAVAILABLE && details.includes("Protocol error");
}
