// The report for a terminal.
import { countText, durationText, printable, rateText, shareText } from "../quantity-text.js";
import type { Style } from "../style.js";
import { textTable } from "../text-table.js";
import { GENERATOR_LIMIT_SHARE, isSound, LATENCY_MEANING, type ReplayReport } from "./report.js";

const MAX_GPU_ROWS = 64;

/** Everything that matters of a replay, on a screen or two. */
export function reportText(report: ReplayReport, style: Style): string {
  return [head(report, style), counts(report, style), latencies(report, style), gpus(report, style), tenants(report, style), generator(report, style)]
    .filter((part) => part !== "")
    .join("\n");
}

function head({ plan, elapsedMs, interrupted, throughput }: ReplayReport, style: Style): string {
  const traces = plan.traces.map((trace) => `${printable(trace.file)} (${trace.format}, user ${printable(trace.tenant)}${trace.users > 1 ? `-1 to -${trace.users}` : ""})`).join(", ");
  return (
    `${style.bold(`Replay ${plan.runId}`)} of ${traces}\n` +
    `${plan.speed}x speed, model ${printable(plan.model)}, seed ${plan.seed}, router ${plan.router}\n` +
    `${durationText(elapsedMs)}${interrupted ? style.yellow(" (stopped by Ctrl-C)") : ""}: sent ${rateText(throughput.sentPerSecond)}/s, ` +
    `completed ${rateText(throughput.completedPerSecond)}/s, at most ${countText(throughput.peakInFlight)} in flight, ` +
    `${countText(throughput.outputTokensPerSecond)} tokens/s out (${countText(throughput.inputTokensPerSecond)} in)\n`
  );
}

function counts(report: ReplayReport, style: Style): string {
  const { counts: count, codes, verification } = report;
  const bad = (text: string, number: number): string => (number > 0 ? style.red(text) : style.green(text));
  const lines = [
    `sent ${countText(count.sent)} of ${countText(report.plan.requests)}, accepted ${countText(count.accepted)}, ${style.green(`completed ${countText(count.completed)}`)}` +
      ` (${shareText(count.sent === 0 ? 0 : count.completed / count.sent)}), failed ${countText(count.failed)}, cancelled ${countText(count.cancelled)}, refused ${countText(count.refused)}`,
    [
      bad(`lost ${countText(count.lost)}`, count.lost),
      bad(`ended twice ${countText(count.endedTwice)}`, count.endedTwice),
      bad(`unfinished ${countText(count.unfinished)}`, count.unfinished),
      bad(`unanswered ${countText(count.unanswered)}`, count.unanswered),
    ].join(", ") + (isSound(report) ? ": every request met exactly one end" : ""),
  ];
  for (const { fate, code, count: number } of codes) lines.push(`  ${fate} ${printable(code)}: ${countText(number)}`);
  if (count.retries + count.reconnects + count.redispatched > 0) {
    lines.push(`sent again ${countText(count.retries)} times, watched again ${countText(count.reconnects)} times, ${countText(count.redispatched)} requests took more than one dispatch`);
  }
  if (verification !== null) {
    const { asked, changed, unknown, unanswered } = verification;
    const verdict = changed.length + unknown.length + unanswered === 0 ? style.green("all unchanged") : style.red(`${changed.length} changed, ${unknown.length} unknown, ${unanswered} not answered`);
    lines.push(`verified ${countText(asked)} ends by Status: ${verdict}${[...changed, ...unknown].slice(0, 5).map((id) => ` ${printable(id)}`).join("")}`);
  }
  return `${lines.join("\n")}\n`;
}

const FIGURES = [
  { title: "COUNT", align: "right" },
  { title: "MEAN", align: "right" },
  { title: "P50", align: "right" },
  { title: "P95", align: "right" },
  { title: "P99", align: "right" },
  { title: "MAX", align: "right" },
] as const;

function latencies(report: ReplayReport, style: Style): string {
  const rows = report.latencies
    .filter(({ count }) => count > 0)
    .map((each) => [
      each.name.replace("_", " "),
      countText(each.count),
      ...[each.meanMs, each.p50Ms, each.p95Ms, each.p99Ms, each.maxMs].map(durationText),
      style.dim(LATENCY_MEANING[each.name]),
    ]);
  const { attainment } = report;
  const inTime = attainment === null ? "" : `in time ${countText(attainment.kept)} of ${countText(attainment.asked)} with an SLO (${shareText(attainment.share)})\n`;
  return rows.length === 0 ? inTime : `${textTable([{ title: "LATENCY" }, ...FIGURES, { title: "FROM, TO" }], rows, style.bold)}${inTime}`;
}

function gpus(report: ReplayReport, style: Style): string {
  if (report.gpus.length === 0) return "";
  const right = (title: string) => ({ title, align: "right" }) as const;
  const rows = report.gpus
    .slice(0, MAX_GPU_ROWS)
    .map((gpu) => [
      printable(gpu.gpuId),
      countText(gpu.requests),
      countText(gpu.completed),
      shareText(gpu.busyShare),
      rateText(gpu.meanConcurrency),
      countText(gpu.inputTokens),
      countText(gpu.outputTokens),
    ]);
  const columns = [{ title: "GPU" }, right("REQUESTS"), right("COMPLETED"), right("BUSY"), right("AT ONCE"), right("TOKENS IN"), right("TOKENS OUT")];
  const more = report.gpus.length > MAX_GPU_ROWS ? `… and ${countText(report.gpus.length - MAX_GPU_ROWS)} more GPUs; --json has them all\n` : "";
  return textTable(columns, rows, style.bold) + more;
}

function tenants(report: ReplayReport, style: Style): string {
  if (report.tenants.length < 2) return "";
  const rows = report.tenants.map((each) => [
    printable(each.tenant),
    countText(each.sent),
    countText(each.completed),
    each.attainment === null ? "" : shareText(each.attainment.share),
    ...[each.meanMs, each.p50Ms, each.p95Ms, each.p99Ms, each.maxMs].map(durationText),
  ]);
  return textTable([{ title: "USER" }, { title: "SENT", align: "right" }, { ...FIGURES[0], title: "COMPLETED" }, { title: report.attainment === null ? "" : "IN TIME", align: "right" }, ...FIGURES.slice(1)], rows, style.bold);
}

function generator({ lateness, heldBack, plan, generatorBusyShare }: ReplayReport, style: Style): string {
  const late = `generator lateness p50 ${durationText(lateness.p50Ms)}, p99 ${durationText(lateness.p99Ms)}, max ${durationText(lateness.maxMs)} (counted in every latency)\n`;
  const held =
    heldBack.count === 0
      ? ""
      : style.yellow(`the bound of ${countText(plan.maxInFlight)} in flight held back ${countText(heldBack.count)} requests, at most ${durationText(heldBack.longestMs)}; raise --concurrency\n`);
  const busy =
    generatorBusyShare < GENERATOR_LIMIT_SHARE
      ? ""
      : style.yellow(`the generator itself was busy ${shareText(generatorBusyShare)} of the time: latencies include its own delays; lower --speed or give it a machine of its own\n`);
  return style.dim(late) + held + busy;
}
