// The result of `simulate` as one page: the table, plots against load, each user, and the run over time at a load that the reader chooses.
import { figuresOf, type Figures } from "../../sim/figures.js";
import { curve } from "../../sim/log-histogram.js";
import { SIMULATED_SETTINGS_TEXT } from "../../sim/set-up.js";
import type { Study } from "../../sim/trials.js";
import { bar, escapeHtml, htmlTable, page, plotCard } from "../charts/page.js";
import { countText, durationText, shareText } from "../quantity-text.js";
import { styleOff } from "../style.js";
import type { Cell } from "./cells.js";
import { plainJson } from "./json.js";
import { simulationScript } from "./report-html-charts.js";
import { studyText } from "./report-text.js";

/** The whole page; cells that were not done are named and left out. */
export function simulationHtml(study: Study, cells: readonly Cell[]): string {
  const done = cells.flatMap(({ measures }) => (measures === null ? [] : [{ measures, figures: figuresOf(measures) }]));
  const figures = done.map((each) => each.figures);
  const loads = [...new Set(figures.map(({ load }) => load))].toSorted((one, other) => one - other);
  const policies = [...new Set(figures.map(({ policy }) => policy))];
  const missing = cells.filter(({ measures }) => measures === null);
  const [, facts = ""] = studyText(study, styleOff).split("\n");
  return page({
    title: `Simulation of ${study.scenario.name}`,
    data: plainJson({ cells: done.map((each) => ({ ...each.figures, firstOutputCurve: curve(each.measures.firstOutput), timeline: each.measures.timeline })) }),
    script: simulationScript,
    body: `<header><div><h1>Simulation of ${escapeHtml(study.scenario.name)}</h1>
<p>${escapeHtml(study.scenario.title)}</p>
<p class="dim">${escapeHtml(facts)}</p></div></header>
<section class="card names"><h2>Policies <small>letters are those at the ends of the lines; ± is the standard deviation over the seeds</small></h2>${overview(figures, policies)}</section>
${missing.length === 0 ? "" : `<p class="verdict bad">${missing.map(({ policy, load, trouble }) => escapeHtml(`${policy} at load ${load}: ${trouble ?? "stopped before it was done"}`)).join("<br>")}</p>`}
<section class="grid">
${plotCard("attainment", "In SLO against load", "share of requests with an SLO that were completed within it")}
${plotCard("p95", "First output p95 against load", "from arrival; logarithmic")}
${plotCard("mean", "Mean response against load", "arrival to end; a request that failed counts at least 30 s; logarithmic")}
${plotCard("p99", "Response p99 against load", "logarithmic")}
</section>
${loads.map((load) => `<section class="card names"><h2>In SLO by user <small>load ${load}; for work without an SLO the share that was done</small></h2>${users(figures.filter((each) => each.load === load))}</section>`).join("\n")}
<section class="card"><h2>Over time</h2>${loads.length > 1 ? `<label>At load <select id="load">${loads.map((load, index) => `<option value="${load}"${index === loads.length - 1 ? " selected" : ""}>${load}</option>`).join("")}</select></label>` : `<p class="dim">At load ${loads[0] ?? "-"}; means over the seeds.</p>`}</section>
<section class="grid">
${plotCard("busy", "GPUs at work", "share of all GPUs")}
${plotCard("kept", "In SLO", "by arrival, of the last 30 s")}
${plotCard("running", "Requests on GPUs", "at the end of each stretch")}
${plotCard("first-output", "First output", "share of requests at or below; logarithmic")}
${policies.map((policy, index) => plotCard(`waiting-${index}`, `Waiting by priority: ${escapeHtml(policy)}`, "requests in the router's line; 5 is the most urgent")).join("\n")}
</section>
<section class="card"><h2>Waiting by priority <small>arrival to placement</small></h2>${waits(figures)}</section>
<section class="card"><h2>How it was measured</h2>${method(study)}</section>`,
  });
}

function overview(figures: readonly Figures[], policies: readonly string[]): string {
  const letter = (policy: string): string => {
    const index = policies.indexOf(policy);
    return index < 26 ? String.fromCharCode(65 + index) : String(index + 1);
  };
  return htmlTable(
    ["policy", "load", "in SLO", "worst user", "batch done", "first p50", "p95", "p99", "mean", "p99", "busy", "prefix hits", "fairness"],
    figures.map((each) => [
      `<b>${letter(each.policy)}</b> ${escapeHtml(each.policy)}`,
      String(each.load),
      `${shareText(each.attainment)} ± ${shareText(each.attainmentSpread.deviation)}`,
      each.worstUser === null || each.worstUserAttainment === null ? "-" : `${shareText(each.worstUserAttainment)} <span class="dim">${escapeHtml(each.worstUser)}</span>`,
      each.batchCompletion === null ? "-" : shareText(each.batchCompletion),
      ...[each.firstOutput.p50Ms, each.firstOutput.p95Ms, each.firstOutput.p99Ms, each.response.meanMs, each.response.p99Ms].map(durationText),
      shareText(each.busyShare),
      shareText(each.cachedBlockShare),
      each.fairness.toFixed(3),
    ]),
  );
}

function users(figures: readonly Figures[]): string {
  const names = [...new Set(figures.flatMap((each) => each.users.map(({ name }) => name)))];
  return htmlTable(
    ["policy", ...names.map(escapeHtml)],
    figures.map((each) => [
      escapeHtml(each.policy),
      ...names.map((name) => {
        const user = each.users.find((one) => one.name === name);
        if (!user) return "-";
        return user.attainment === null ? bar("share", user.completion, `${shareText(user.completion)} done`) : bar("busy", user.attainment, shareText(user.attainment));
      }),
    ]),
  );
}

function waits(figures: readonly Figures[]): string {
  return htmlTable(
    ["policy", "load", "priority", "requests", "mean", "p95", "p99"],
    figures.flatMap((each) =>
      each.waits
        .filter(({ requests }) => requests > 0)
        .toReversed()
        .map((wait) => [escapeHtml(each.policy), String(each.load), String(wait.priority), countText(wait.requests), ...[wait.meanMs, wait.p95Ms, wait.p99Ms].map(durationText)]),
    ),
  );
}

function method({ scenario, seeds, scaling }: Study): string {
  const notes = [
    ...scenario.notes,
    "The router's own scheduler decides, in virtual time, over simulated GPUs; how fast these are comes from data sheets and published measurements.",
    SIMULATED_SETTINGS_TEXT,
    `Seeds ${seeds.join(", ")}: each enters the requests at another place; their requests are pooled. Loads above 1 are ${scaling === "compress" ? "the same users, faster" : "more users of the same kind"}.`,
    "A request is in its SLO when its first output and its end came in time. One that failed or was refused counts as at least 30 s, the time-out of its caller; one that never ended counts its time until the end.",
    "Quantiles are within 0.5 %.",
  ];
  return `<ul>${notes.map((note) => `<li>${escapeHtml(note)}</li>`).join("")}</ul>`;
}
