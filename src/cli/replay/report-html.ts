// The report as one page that needs no network: tables and bars are plain HTML, plots are drawn by the script in
// report-html-charts.ts from the report's own JSON. The frame of the page is in ../charts/page.ts.
import { countText, durationText, rateText, shareText } from "../quantity-text.js";
import { bar, escapeHtml, htmlTable as table, page, plotCard as plot, tile } from "../charts/page.js";
import { chartScript } from "./report-html-charts.js";
import { reportJson } from "./report-json.js";
import { GENERATOR_LIMIT_SHARE, isSound, LATENCY_MEANING, type GpuUse, type ReplayReport } from "./report.js";

const MAX_GPU_ROWS = 256;

/** The whole page. */
export function reportHtml(report: ReplayReport): string {
  const { plan, counts, throughput } = report;
  const total = report.latencies.find(({ name }) => name === "total");
  return page({
    title: `Replay ${plan.runId}`,
    data: reportJson(report),
    script: chartScript,
    body: `<header>
<div><h1>Replay report</h1>
<p>${plan.traces.map((trace) => `<b>${escapeHtml(trace.file)}</b>`).join(" + ")} at ${plan.speed}× speed, model <b>${escapeHtml(plan.model)}</b></p>
<p class="dim">${escapeHtml(report.startedAt.slice(0, 19).replace("T", " "))} UTC · ${durationText(report.elapsedMs)} · router ${escapeHtml(plan.router)}${report.interrupted ? " · stopped early" : ""}</p></div>
${verdict(report)}
</header>
<section class="tiles">
${tile("Completed", countText(counts.completed), `${shareText(counts.completed / Math.max(1, counts.sent))} of ${countText(counts.sent)}`)}
${tile("Throughput", `${rateText(throughput.completedPerSecond)}/s`, `sent ${rateText(throughput.sentPerSecond)}/s`)}
${tile("Latency p50", durationText(total?.p50Ms ?? null), "due to end")}
${tile("Latency p95", durationText(total?.p95Ms ?? null), "due to end")}
${tile("Latency p99", durationText(total?.p99Ms ?? null), `max ${durationText(total?.maxMs ?? null)}`)}
${report.attainment === null ? "" : tile("In time", shareText(report.attainment.share), `${countText(report.attainment.kept)} of ${countText(report.attainment.asked)} with an SLO`)}
${tile("In flight", countText(throughput.peakInFlight), "at most at once")}
${tile("Tokens out", `${countText(throughput.outputTokensPerSecond)}/s`, `in ${countText(throughput.inputTokensPerSecond)}/s`)}
</section>
<section class="grid">
${plot("throughput", "Throughput", "requests per second")}
${plot("in-flight", "In flight", "accepted, not ended; the most in each stretch")}
${plot("latency", "Latency over time", "due to end, by the time a request was due; completed requests")}
${plot("distribution", "Latency distribution", "share of requests at or below; logarithmic")}
</section>
<section class="card"><h2>Latency</h2>${latencyTable(report)}</section>
<section class="grid">
<section class="card outcomes"><h2>Outcomes</h2>${outcomeTable(report)}</section>
<section class="card"><h2>Users</h2>${tenantTable(report)}</section>
</section>
<section class="card"><h2>GPUs</h2>${gpuBars(report.gpus)}</section>
<section class="card"><h2>How it was measured</h2>${method(report)}</section>`,
  });
}

function verdict(report: ReplayReport): string {
  const { counts } = report;
  if (isSound(report)) return `<p class="verdict good">Every request met exactly one end</p>`;
  const faults = [
    [counts.lost, "lost"],
    [counts.endedTwice, "ended twice"],
    [counts.unfinished, "unfinished"],
    [counts.unanswered, "unanswered"],
  ] as const;
  return `<p class="verdict bad">${faults.filter(([count]) => count > 0).map(([count, what]) => `${countText(count)} ${what}`).join(", ")}</p>`;
}

function latencyTable({ latencies, lateness }: ReplayReport): string {
  const rows = [
    ...latencies.map((each) => ({ ...each, title: each.name.replace("_", " "), meaning: LATENCY_MEANING[each.name] })),
    { ...lateness, title: "generator", meaning: "due to sent: the load generator's own lateness" },
  ];
  return table(
    ["", "count", "mean", "p50", "p95", "p99", "max", ""],
    rows
      .filter(({ count }) => count > 0)
      .map((each) => [
        each.title,
        countText(each.count),
        ...[each.meanMs, each.p50Ms, each.p95Ms, each.p99Ms, each.maxMs].map(durationText),
        `<span class="dim">${each.meaning}</span>`,
      ]),
  );
}

function outcomeTable({ counts, codes }: ReplayReport): string {
  const share = (count: number): string => shareText(count / Math.max(1, counts.sent));
  const rows = [["completed", "", countText(counts.completed), share(counts.completed)]];
  for (const { fate, code, count } of codes) rows.push([fate, escapeHtml(code), countText(count), share(count)]);
  return table(["outcome", "code", "requests", "share"], rows.map(([fate, ...rest]) => [`<span class="fate ${fate}">${fate}</span>`, ...rest]));
}

function tenantTable({ tenants }: ReplayReport): string {
  const rows = tenants.map((each) => [
    escapeHtml(each.tenant),
    countText(each.sent),
    countText(each.completed),
    each.attainment === null ? "" : shareText(each.attainment.share),
    durationText(each.p50Ms),
    durationText(each.p95Ms),
    durationText(each.p99Ms),
  ]);
  return table(["user", "sent", "completed", tenants.some(({ attainment }) => attainment !== null) ? "in time" : "", "p50", "p95", "p99"], rows);
}

function gpuBars(gpus: readonly GpuUse[]): string {
  if (gpus.length === 0) return `<p class="dim">No request reached a GPU.</p>`;
  const most = Math.max(...gpus.map(({ requests }) => requests), 1);
  const rows = gpus.slice(0, MAX_GPU_ROWS).map((gpu) => {
    const tip = `${gpu.gpuId}\nbusy ${shareText(gpu.busyShare)} of the time\n${rateText(gpu.meanConcurrency)} at once on average\n${countText(gpu.requests)} requests, ${countText(gpu.completed)} completed\n${countText(gpu.inputTokens)} tokens in, ${countText(gpu.outputTokens)} out`;
    return `<div class="gpu" tabindex="0" data-tip="${escapeHtml(tip)}"><span>${escapeHtml(gpu.gpuId)}</span>${bar("busy", gpu.busyShare, shareText(gpu.busyShare))}${bar("share", gpu.requests / most, countText(gpu.requests))}</div>`;
  });
  const more = gpus.length > MAX_GPU_ROWS ? `<p class="dim">… and ${countText(gpus.length - MAX_GPU_ROWS)} more GPUs.</p>` : "";
  return `<div class="gpu head"><span></span><span>busy</span><span>requests</span></div>${rows.join("")}${more}`;
}

function method({ plan, counts, heldBack, generatorBusyShare, verification }: ReplayReport): string {
  const held =
    heldBack.count === 0
      ? `The bound of ${countText(plan.maxInFlight)} requests in flight never held one back.`
      : `The bound of ${countText(plan.maxInFlight)} requests in flight held back ${countText(heldBack.count)}, at most ${durationText(heldBack.longestMs)}.`;
  const verified =
    verification === null
      ? ""
      : `<li>Asked again for ${countText(verification.asked)} ended requests: ${countText(verification.changed.length)} had another end, ${countText(verification.unknown.length)} were unknown, ${countText(verification.unanswered)} questions went unanswered.</li>`;
  return `<ul>
<li>Open loop: send times come from the trace and wait for no answer. Latencies count from the time the trace wanted a request sent, so a late generator cannot hide a slow router.</li>
<li>${held} The generator itself was busy ${shareText(generatorBusyShare)} of the time${generatorBusyShare < GENERATOR_LIMIT_SHARE ? "" : ": latencies include its own delays"}.</li>
<li>${countText(counts.retries)} calls of Route and ${countText(counts.reconnects)} streams of Watch were made again; ${countText(counts.redispatched)} requests took more than one dispatch.</li>
${verified}<li>A GPU is busy while at least one request runs on it, as its runner measured.</li>
<li>Run ${escapeHtml(plan.runId)}, seed ${plan.seed}; ${plan.traces.map((trace) => `${escapeHtml(trace.file)} (${trace.format}) as user ${escapeHtml(trace.tenant)}${trace.users > 1 ? `-1 to -${trace.users}` : ""}`).join(", ")}.</li>
</ul>`;
}
