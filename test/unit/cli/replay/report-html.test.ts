import { describe, expect, test } from "@jest/globals";
import vm from "node:vm";

import { escapeHtml } from "../../../../src/cli/charts/page.js";
import { newOutcome } from "../../../../src/cli/replay/outcome.js";
import { chartScript } from "../../../../src/cli/replay/report-html-charts.js";
import { reportHtml } from "../../../../src/cli/replay/report-html.js";
import { reportJson } from "../../../../src/cli/replay/report-json.js";
import { buildReport } from "../../../../src/cli/replay/report.js";

const HOSTILE = `</script><script>alert(1)</script><img src=x onerror=alert(2)>"'&\u2028<!--`;

function hostileReport() {
  const outcome = {
    ...newOutcome(HOSTILE, HOSTILE, 0, 0),
    fate: "failed" as const,
    code: HOSTILE,
    gpuId: HOSTILE,
    answeredMs: 1,
    endedMs: 2,
    acceptedAtMs: 1,
    completedAtMs: 2,
    ends: 1,
  };
  const plan = {
    runId: HOSTILE,
    router: HOSTILE,
    traces: [{ file: HOSTILE, format: "Azure CSV", tenant: HOSTILE, users: 1 }],
    model: HOSTILE,
    speed: 1,
    seed: 1,
    requests: 1,
    scheduleMs: 0,
    maxInFlight: 1,
  };
  const verification = { asked: 1, changed: [HOSTILE], unknown: [], unanswered: 0 };
  return buildReport(plan, { outcomes: [outcome], startedAtMs: 0, elapsedMs: 2, heldBack: { count: 0, longestMs: 0 }, generatorBusyShare: 0 }, false, verification);
}

describe("reportHtml", () => {
  const report = hostileReport();
  const page = reportHtml(report);

  test("hostile names stay text: no element, no attribute, no script comes of them", () => {
    for (const sign of ["<img", "alert(1)</script>", "<!--"]) expect(page.indexOf(sign)).toBe(-1);
    expect(page.match(/<script/g)).toHaveLength(2);
    expect(page.match(/<\/script/g)).toHaveLength(2);
    expect(escapeHtml(`<a b="c" d='e'>&`)).toBe("&#60;a b=&#34;c&#34; d=&#39;e&#39;&#62;&#38;");
  });

  test("the embedded JSON is the report", () => {
    const embedded = /<script type="application\/json" id="report">(.*?)<\/script>/s.exec(page)?.[1] ?? "";
    expect(JSON.parse(embedded)).toEqual(reportJson(report));
    expect(embedded).not.toMatch(/[<>&\u2028\u2029]/);
  });

  test("nothing is loaded: no address, no import, and a policy that forbids it", () => {
    const withoutNamespace = page.replaceAll("http://www.w3.org/2000/svg", "");
    expect(withoutNamespace).not.toMatch(/https?:|\/\/[a-z]+\.|@import|url\(|<link|<iframe|fetch\(|XMLHttpRequest|WebSocket|import\(|src=(?!x)/i);
    expect(page).toContain(`<meta http-equiv="Content-Security-Policy" content="default-src 'none';`);
  });

  test("the script is sound JavaScript and puts foreign text nowhere but textContent", () => {
    expect(() => new vm.Script(chartScript)).not.toThrow();
    expect(chartScript).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(/);
  });

  test("it works on phones, in light and dark, and names the verdict", () => {
    expect(page).toContain(`<meta name="viewport"`);
    expect(page).toContain("prefers-color-scheme:dark");
    expect(page).toContain("Every request met exactly one end");
  });
});
