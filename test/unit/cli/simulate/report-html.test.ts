import { describe, expect, test } from "@jest/globals";
import vm from "node:vm";

import type { Cell } from "../../../../src/cli/simulate/cells.js";
import { simulationHtml } from "../../../../src/cli/simulate/report-html.js";
import { simulationScript } from "../../../../src/cli/simulate/report-html-charts.js";
import { measure } from "../../../../src/sim/measure.js";
import { scenarioNamed } from "../../../../src/sim/scenarios.js";
import { DEFAULT_FAULTS } from "../../../../src/sim/set-up.js";
import type { Study } from "../../../../src/sim/trials.js";
import { madeRun, TENANTS } from "../../sim/made-run.js";
import { drawnPlots } from "../charts/drawn.js";

const HOSTILE = `</script><script>alert(1)</script><img src=x onerror=alert(2)>"'&\u2028<!--`;

const scenario = scenarioNamed("synthetic-main");
if (!scenario) throw new Error("no scenario");
const study: Study = {
  scenario: { ...scenario, name: HOSTILE, title: HOSTILE, notes: [HOSTILE] },
  traces: null,
  fleet: null,
  durationMs: 10_000,
  scaling: "superpose",
  seeds: [1],
  conditions: { faults: DEFAULT_FAULTS, override: { settings: {}, hybrid: {} }, prefixCacheTokens: null },
};

function cell(policy: string, load: number, good: boolean): Cell {
  const run = madeRun(
    [
      { tenant: 0, at: 0, placed: 10, first: 500 * load, ended: 1000 * load, outcome: "completed", ...(good ? { inSlo: true as const } : {}) },
      { tenant: 3, at: 7000, outcome: "unfinished" },
    ],
    { policy, load, tenants: TENANTS.map((tenant) => ({ ...tenant, name: `${tenant.name}${HOSTILE}` })) },
  );
  return { policy, load, measures: measure(run, 10_000), trouble: null };
}

const cells: readonly Cell[] = [...["hybrid", "least_loaded@1/4", HOSTILE].flatMap((policy) => [cell(policy, 1, true), cell(policy, 2, policy === "hybrid")]), { policy: "random", load: 2, measures: null, trouble: HOSTILE }];
const page = simulationHtml(study, cells);

describe("the page of a simulation", () => {
  test("hostile names stay text", () => {
    for (const sign of ["<img", "alert(1)</script>", "<!--"]) expect(page.indexOf(sign)).toBe(-1);
    expect(page.match(/<script/g)).toHaveLength(2);
    expect(page.match(/<\/script/g)).toHaveLength(2);
  });

  test("loads nothing, works in light and dark and on phones", () => {
    expect(page.replaceAll("http://www.w3.org/2000/svg", "")).not.toMatch(/https?:|@import|url\(|<link|<iframe|fetch\(|XMLHttpRequest|WebSocket|import\(/i);
    expect(page).toContain(`<meta http-equiv="Content-Security-Policy" content="default-src 'none';`);
    expect(page).toContain("prefers-color-scheme:dark");
    expect(page).toContain(`<meta name="viewport"`);
  });

  test("its script is sound and puts foreign text nowhere but textContent", () => {
    expect(() => new vm.Script(simulationScript)).not.toThrow();
    expect(simulationScript).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(/);
  });

  test("every tag is closed, in order", () => {
    const open: string[] = [];
    for (const [, close, name = "", , self] of page.replaceAll(/<(script|style)[^>]*>.*?<\/\1>/gs, "").matchAll(/<(\/)?([a-z0-9]+)((?:"[^"]*"|[^">])*?)(\/)?>/g)) {
      if (["meta", "br"].includes(name) || self) continue;
      if (close) expect(open.pop()).toBe(name);
      else open.push(name);
    }
    expect(open).toEqual([]);
  });

  test("names every policy and what was not done", () => {
    for (const policy of ["hybrid", "least_loaded@1/4", "random at load 2"]) expect(page).toContain(policy);
  });

  test("draws every plot at each load, with all policies, without a broken number", () => {
    for (const load of ["1", "2"]) {
      const plots = drawnPlots(page, { load });
      for (const name of ["attainment", "p95", "mean", "p99", "busy", "kept", "running", "first-output"]) expect(plots.get(name)).toMatchObject({ lines: 3, broken: [] });
      for (const { broken } of plots.values()) expect(broken).toEqual([]);
      expect(plots.get("waiting-0")).toMatchObject({ lines: 2 });
    }
  });

  test("lines are told apart by letters too, the same as in the table", () => {
    expect(drawnPlots(page, { load: "1" }).get("attainment")?.texts).toEqual(expect.arrayContaining(["A", "B", "C"]));
    expect(page).toContain("<b>A</b> hybrid");
  });

  test("one load is drawn too, and nothing at all is no error", () => {
    expect(drawnPlots(simulationHtml(study, cells.slice(0, 1))).get("attainment")).toMatchObject({ lines: 1, broken: [] });
    expect(drawnPlots(simulationHtml(study, [])).get("attainment")?.texts).toEqual(["Nothing to show."]);
  });
});
