import { request as httpRequest } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DashboardServer } from "../../coordinator/dashboard/dashboardServer.ts";
import { CoordHome } from "../support/coord.ts";
import { SimulatedRun } from "../support/simulatedRun.ts";

let home: CoordHome;
let run: SimulatedRun;
let server: DashboardServer;
let url: string;
let token: string;
beforeEach(async () => {
  home = await CoordHome.create();
  run = await SimulatedRun.create(home.home, { nodes: 1, gpus: 2 });
  ({ server, token, url } = await run.serve());
});
afterEach(async () => {
  await server.close();
  await home.remove();
});

const runUrl = (rest = "") => `${url}api/runs/${run.directory.runId}${rest}`;
const steer = (wish: string, bearer: string, body = "{}") =>
  fetch(runUrl(wish), { method: "POST", headers: { Authorization: `Bearer ${bearer}` }, body });

/** fetch sets the Host header by itself. */
function statusUnder(host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    httpRequest(url, { headers: { host } }, (response) => resolve(response.resume().statusCode))
      .on("error", reject)
      .end();
  });
}

describe("the dashboard's server", () => {
  it("answers to loopback names alone, so that no other site's name can be made to point at it", async () => {
    const { port } = new URL(url);
    expect(await statusUnder(`localhost:${port}`)).toBe(200);
    expect(await statusUnder(`[::1]:${port}`)).toBe(200);
    for (const host of [`evil.example:${port}`, "127.0.0.1.evil.example", "localhost.evil.example", "a b"]) {
      expect(await statusUnder(host)).toBe(421);
    }
  });

  it("forbids everything from outside and all inline code", async () => {
    const response = await fetch(url);
    const policy = response.headers.get("content-security-policy");
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self';");
    expect(policy).not.toContain("unsafe");
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    const page = await response.text();
    expect(page).not.toMatch(/(src|href)="(https?:)?\/\//);
    expect(page).not.toMatch(/<script(?![^>]*src=)|<style|\son[a-z]+=/);
  });

  it("steers with the run's token alone", async () => {
    for (const wrong of ["", "x", `${token}x`, token.slice(1)]) {
      expect((await steer("/stop", wrong)).status).toBe(401);
    }
    expect(run.asked).toEqual([]);
    expect((await steer("/checkpoint", token)).status).toBe(202);
    expect((await steer("/set", token, '{"saveSteps":50}')).status).toBe(200);
    expect((await steer("/stop", token, '{"now":true}')).status).toBe(202);
    expect(run.asked).toEqual(["checkpoint", "set 50", "stop true"]);
  });

  it("refuses what makes no sense, with a sentence", async () => {
    expect((await steer("/set", token, '{"saveSteps":-1}')).status).toBe(400);
    expect((await steer("/set", token, "not json")).status).toBe(400);
    expect((await steer("/set", token, `"${"x".repeat(5000)}"`)).status).toBe(413);
    expect((await fetch(runUrl("/stop"))).status).toBe(404);
    expect((await fetch(`${url}api/runs/20200101-0000-none`)).status).toBe(404);
    expect((await fetch(`${url}assets/..%2f..%2fpackage.json`)).status).toBe(404);
    expect((await fetch(`${url}assets/../../package.json`)).status).toBe(404);
    const refused = await fetch(runUrl("/logs?rank=../../token"));
    expect(refused.status).toBe(400);
    expect(await refused.json()).toEqual({ message: "rank must be a number, run or all." });
  });

  it("never shows the token", async () => {
    const texts = await Promise.all(
      ["", "/history", "/logs?rank=all"].map(async (rest) => (await fetch(runUrl(rest))).text()),
    );
    for (const text of texts) expect(text).not.toContain(token);
  });

  it("forgets steps that were taken back", async () => {
    await run.steps(1, 6);
    await run.steps(4, 5);
    const history = (await (await fetch(runUrl("/history"))).json()) as { rows: number[][] };
    expect(history.rows.map(([step]) => step)).toEqual([1, 2, 3, 4, 5]);
  });
});
