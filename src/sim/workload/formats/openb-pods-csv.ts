// Alibaba openb (cluster-trace-gpu-v2023), pods: what each asked of a GPU, its service class, and when it came and went.
import type { TraceFormat } from "./trace-format.js";

const HEADING = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time";
const COLUMNS = HEADING.split(",").length;
const COUNT = /^\d+$/;

/** One row a pod; the sender is its service class (LS, BE, Burstable, Guaranteed). A pod that was never scheduled did no work. */
export const openbPodsCsv: TraceFormat = {
  name: "openb pods CSV",
  calendar: false,
  gridMs: 0,
  ordered: false,
  heading: HEADING,
  parse(line) {
    const fields = line.split(",");
    const [, , , gpus = "", gpuMilli = "", , sender = "", , created = "", deleted = "", scheduled = ""] = fields;
    if (fields.length !== COLUMNS || sender === "" || ![gpus, gpuMilli, created, deleted].every((field) => COUNT.test(field))) return null;
    if (scheduled !== "" && !COUNT.test(scheduled)) return null;
    const workMs = scheduled === "" ? 0 : Math.max(0, Number(deleted) - Number(scheduled)) * 1000;
    return { atMs: Number(created) * 1000, inputTokens: 0, outputTokens: 0, sender, gpus: Number(gpus), gpuMilli: Number(gpuMilli), workMs };
  },
};
