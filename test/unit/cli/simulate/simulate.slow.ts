// The commands as people run them, in this process: `--jobs 0`. Runs are of seconds.
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { ABLATIONS, strategyNames } from "../../../../src/sim/policies.js";
import { run, testTerminal } from "../test-terminal.js";

const QUICK = ["--jobs", "0", "--minutes", "0.1", "--seeds", "1"];
const directory = mkdtempSync(path.join(tmpdir(), "gpu-router-simulate-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface RunJson {
  readonly policy: string;
  readonly load: number;
  readonly requests: number;
  readonly attainment: number;
  readonly batch_completion: number;
}

async function simulated(...args: readonly string[]): Promise<readonly RunJson[]> {
  const { code, out, err } = await run(["simulate", "--json", ...args]);
  if (code !== 0) throw new Error(err);
  // How long it took is the one thing that differs.
  return (JSON.parse(out, (key, value: unknown) => (key === "wall_ms" ? undefined : value)) as { readonly runs: readonly RunJson[] }).runs;
}

describe("gpu-router simulate", () => {
  test("the scenario that strangers see: a minute, the same twice", async () => {
    const args = ["--jobs", "0", "--minutes", "1", "--seeds", "3", "--policy", "hybrid"];
    const [first] = await simulated(...args);
    expect(first).toMatchObject({ policy: "hybrid", load: 1 });
    expect(first?.requests).toBeGreaterThan(200);
    expect(first?.attainment).toBeGreaterThan(0.5);
    expect(await simulated(...args)).toEqual([first]);
  }, 120_000);

  test("every registered strategy can be simulated, and ends its work", async () => {
    const runs = await simulated(...QUICK, "--policy", "strategies", "--load", "0.5");
    expect(runs.map(({ policy }) => policy)).toEqual(strategyNames());
    for (const each of runs) expect(each.attainment).toBeGreaterThan(0);
  }, 120_000);

  test("pieces and isolation make a difference to settings alone: the requests are the same", async () => {
    const runs = await simulated(...QUICK, "--policy", "ablations,round_robin@1/8", "--load", "0.5");
    expect(runs).toHaveLength(ABLATIONS.length + 2);
    expect(new Set(runs.map(({ requests }) => requests)).size).toBe(1);
  }, 120_000);

  test("the table has a row for each policy and load, and one per user", async () => {
    const { code, out, err } = await run(["simulate", ...QUICK, "--policy", "hybrid,least_loaded@1/4", "--load", "0.5,1", "--no-faults"]);
    expect(code).toBe(0);
    expect(err).toContain("nothing goes wrong");
    expect(out.match(/^hybrid +(0\.5|1) /gm)).toHaveLength(2);
    expect(out.match(/^least_loaded@1\/4 +(0\.5|1) /gm)).toHaveLength(2);
    expect(out).toContain("In SLO by user, load 0.5");
    expect(out).toContain("synthetic-reviewer");
  }, 120_000);

  test("a run without a request is refused, not praised", async () => {
    const { code, err } = await run(["simulate", "--jobs", "0", "--seeds", "1", "--minutes", "0.00001", "--policy", "hybrid"]);
    expect([code, err]).toEqual([1, expect.stringContaining("no request comes in this time: give more --minutes, or a larger --load")]);
    const search = await run(["simulate", "--jobs", "0", "--seeds", "1", "--minutes", "0.00001", "--policy", "hybrid", "--goodput"]);
    expect([search.code, search.err]).toEqual([1, expect.stringContaining("asks for nothing with seed 1")]);
  });

  describe("files", () => {
    const html = path.join(directory, "report.html");
    const csv = path.join(directory, "requests.csv");
    let runs: readonly RunJson[] = [];
    beforeAll(async () => {
      runs = await simulated("--jobs", "0", "--minutes", "0.2", "--seeds", "1,2", "--policy", "hybrid,round_robin", "--html", html, "--csv", csv);
    }, 120_000);

    test("the CSV has a line for each request of each run, in the order of runs", () => {
      const [heading, ...lines] = readFileSync(csv, "utf8").trimEnd().split("\n");
      expect(heading).toMatch(/^policy,load,seed,request,user,/);
      expect(lines).toHaveLength(runs.reduce((sum, { requests }) => sum + requests, 0));
      const columns = heading?.split(",").length;
      for (const line of lines) expect(line.split(",")).toHaveLength(columns ?? 0);
      expect([...new Set(lines.map((line) => line.split(",").slice(0, 3).join(",")))].toSorted()).toEqual(["hybrid,1,1", "hybrid,1,2", "round_robin,1,1", "round_robin,1,2"]);
    });

    test("the page names every policy and needs no network", () => {
      const page = readFileSync(html, "utf8");
      for (const { policy } of runs) expect(page).toContain(policy);
      expect(page).toContain("default-src 'none'");
      expect(page.replaceAll("http://www.w3.org/2000/svg", "")).not.toMatch(/https?:/);
    });
  });

  test("Ctrl-C shows what is done and ends with 130", async () => {
    const terminal = testTerminal();
    const running = run(["simulate", "--jobs", "0", "--minutes", "0.2", "--seeds", "1..50", "--policy", "round_robin"], terminal);
    await terminal.stderr.seen(/seeds pooled/);
    terminal.pressInterrupt();
    const { code, out, err } = await running;
    expect(code).toBe(130);
    expect(err).toContain("Stopping");
    expect(out).toMatch(/not begun or not done|round_robin/);
  }, 120_000);

  test("--list shows scenarios, policies and kinds", async () => {
    const { code, out } = await run(["simulate", "--list"]);
    expect(code).toBe(0);
    for (const word of ["synthetic-main", "azure-conv", "least_outstanding_weighted", "hybrid-PIECE", "RTX-4090"]) expect(out).toContain(word);
  });

  test.each([
    [["--scenario", "nowhere"], 2, /take one of main/],
    [["--scenario", "main", ...QUICK], 1, /--traces DIR.*synthetic/],
    [["--policy", "nobody"], 2, /no policy "nobody"/],
    [["--goodput", "--compare"], 2, /not both/],
    [["--goodput", "--html", "x.html"], 2, /single loads/],
    [["--markdown", "x.md"], 2, /of --compare/],
    [["--html", "/nowhere/at/all.html", ...QUICK], 1, /cannot write/],
    [["--csv", "/nowhere/at/all.csv", ...QUICK], 1, /cannot write/],
    [["--fleet", "T4", ...QUICK], 1, /room for the model/],
  ])("%j says what to do", async (args, code, message) => {
    const result = await run(["simulate", ...args], testTerminal({ env: {} }));
    expect(result.err).toMatch(message);
    expect(result.code).toBe(code);
  });
});

describe("gpu-router simulate --goodput", () => {
  test("gives each policy its load, the fluid bound beside it, and tells what was tried", async () => {
    const { code, out } = await run(["simulate", "--goodput", "--json", ...QUICK, "--minutes", "0.1", "--scenario", "synthetic-one-model", "--fleet", "L40S", "--policy", "hybrid", "--no-faults"]);
    expect(code).toBe(0);
    const report = JSON.parse(out) as { fluid_bound: number; policies: { policy: string; load: number; tried: { load: number; attainment: number }[] }[] };
    expect(report.policies.map(({ policy }) => policy)).toEqual(["hybrid"]);
    expect(report.fluid_bound).toBeGreaterThan(0);
    for (const { load, tried } of report.policies) {
      expect(load).toBeGreaterThan(0);
      expect(tried.find((each) => each.load === load)?.attainment).toBeGreaterThanOrEqual(0.95);
    }
  }, 120_000);
});

describe("gpu-router capacity", () => {
  test("finds a number of GPUs that carries the load", async () => {
    const { code, out } = await run(["capacity", "--json", ...QUICK, "--minutes", "0.1", "--scenario", "synthetic-one-model", "--kinds", "L40S", "--rate", "20", "--no-faults"]);
    expect(code).toBe(0);
    const { needs, requests_per_second } = JSON.parse(out) as { needs: { gpus: number; figures: { attainment: number } }[]; requests_per_second: number };
    expect(requests_per_second).toBeCloseTo(20, 6);
    expect(needs).toMatchObject([{ fleet: "L40S", policy: "hybrid", trouble: null, gpus: expect.any(Number) }]);
    expect(needs[0]?.gpus).toBeGreaterThan(0);
    expect(needs[0]?.figures.attainment).toBeGreaterThanOrEqual(0.95);
  }, 120_000);

  test("says when a kind cannot hold a model", async () => {
    const { code, err } = await run(["capacity", ...QUICK, "--kinds", "T4"]);
    expect(code).toBe(1);
    expect(err).toMatch(/does not fit on any of its GPUs/);
  });
});
