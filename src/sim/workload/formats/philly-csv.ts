// Microsoft Philly, training jobs, as filtered by ElasticFlow: when a job was sent, how long it kept how many GPUs, whose it was.
import type { TraceFormat } from "./trace-format.js";

const ROW = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d),(\d+(?:\.\d+)?),(\d+),\d+(?:\.\d+)?,([\w-]+)$/;

/** One row a job; the sender is the virtual cluster. Times are local to the trace and taken as they stand. */
export const phillyCsv: TraceFormat = {
  name: "Philly CSV",
  calendar: true,
  gridMs: 0,
  ordered: true,
  heading: "timestamp,duration,num_gpus,gpu_time,cluster",
  parse(line) {
    const match = ROW.exec(line);
    if (match === null) return null;
    const [, date, time, seconds, gpus, sender = ""] = match;
    const atMs = Date.parse(`${date}T${time}Z`);
    if (!Number.isFinite(atMs) || Number(gpus) < 1) return null;
    return { atMs, inputTokens: 0, outputTokens: 0, sender, gpus: Number(gpus), workMs: Number(seconds) * 1000 };
  },
};
