import { createHash, timingSafeEqual } from "node:crypto";
import { type DescMethod, type DescService, getOption } from "@bufbuild/protobuf";
import { type Metadata, ServerInterceptingCall, type ServerInterceptor, type StatusObject } from "@grpc/grpc-js";
import { CoordError } from "../shared/errors.ts";
import { allowed_roles, Role } from "../shared/gen/coord/v1/access_pb.ts";
import { toStatus } from "../shared/rpc/status.ts";

/** The token of each role. */
export interface RoleTokens {
  readonly worker: string;
  readonly viewer: string;
  readonly admin: string;
}

/** The health service is open to everybody: probes have no token. */
const openPrefix = "/grpc.health.v1.Health/";

/** Who may call what, by the rules that stand beside the methods in the .proto files. */
export class Access {
  readonly #rules = new Map<string, readonly Role[]>();
  readonly #roles: readonly { readonly role: Role; readonly digest: Buffer }[];

  constructor(tokens: RoleTokens) {
    this.#roles = [
      { role: Role.WORKER, digest: digestOf(tokens.worker) },
      { role: Role.VIEWER, digest: digestOf(tokens.viewer) },
      { role: Role.ADMIN, digest: digestOf(tokens.admin) },
    ];
  }

  /** Takes over a service's rules. Throws INTERNAL for a method without one. */
  add(service: DescService): void {
    for (const method of service.methods) {
      const roles = rolesAllowedTo(method);
      const path = `/${service.typeName}/${method.name}`;
      if (roles.length === 0) throw new CoordError("INTERNAL", `${path} has no allowed_roles: nobody could call it.`);
      this.#rules.set(path, roles);
    }
  }

  /** Refuses a call by its headers, before its body is read. */
  readonly interceptor: ServerInterceptor = (method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, nextMetadata) => {
            const refusal = this.#refusal(method.path, metadata);
            if (refusal) call.sendStatus(refusal);
            else nextMetadata(metadata);
          },
        }),
    });

  #refusal(path: string, metadata: Metadata): StatusObject | undefined {
    if (path.startsWith(openPrefix)) return undefined;
    const [sent] = metadata.get("authorization");
    const given = digestOf(typeof sent === "string" ? sent.replace(/^Bearer /, "") : "");
    const match = this.#roles.find(({ digest }) => timingSafeEqual(digest, given));
    if (!match) return toStatus(new CoordError("UNAUTHENTICATED", "The run's token is missing or wrong."));
    if (this.#rules.get(path)?.includes(match.role)) return undefined;
    return toStatus(new CoordError("FORBIDDEN", `A ${Role[match.role].toLowerCase()}'s token does not allow ${path}.`));
  }
}

/** Roles that may call a method; empty where the .proto has no rule for it. */
export function rolesAllowedTo(method: DescMethod): readonly Role[] {
  return getOption(method, allowed_roles);
}

/** Digests are of one length, whatever was sent, so that comparing them takes the same time. */
function digestOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
