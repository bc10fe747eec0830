import { describe, expect, it } from "vitest";
import { Access, rolesAllowedTo } from "../../../coordinator/access.ts";
import { Role } from "../../../shared/gen/coord/v1/access_pb.ts";
import { allMethods, allServices } from "../../support/services.ts";

describe("the rules of who may call what", () => {
  it("exist for every RPC", async () => {
    const methods = await allMethods();
    expect(methods.length).toBeGreaterThanOrEqual(15);
    for (const method of methods) {
      expect(rolesAllowedTo(method), `${method.parent.typeName}/${method.name} has allowed_roles`).not.toEqual([]);
      expect(rolesAllowedTo(method)).not.toContain(Role.UNSPECIFIED);
    }
  });

  it("let nobody but an admin change a run from outside, and a worker call nothing that an admin may", async () => {
    const mayBeCalledBy = async (role: Role) =>
      (await allMethods()).filter((method) => rolesAllowedTo(method).includes(role)).map(({ name }) => name);
    expect(await mayBeCalledBy(Role.VIEWER)).not.toContain("Stop");
    expect(await mayBeCalledBy(Role.ADMIN)).toContain("Stop");
    const worker = new Set(await mayBeCalledBy(Role.WORKER));
    expect((await mayBeCalledBy(Role.ADMIN)).filter((name) => worker.has(name))).toEqual([]);
  });

  it("are asked for when a service is added: one without a rule is refused", async () => {
    const access = new Access({ worker: "w", viewer: "v", admin: "a" });
    const [service] = await allServices();
    const method = { ...service!.methods[0]!, proto: { ...service!.methods[0]!.proto, options: undefined } };
    expect(() => access.add({ ...service!, methods: [method] } as never)).toThrow(/has no allowed_roles/);
  });
});
