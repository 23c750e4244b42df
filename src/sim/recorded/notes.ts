// What of a recording cannot be simulated as it was, in words and with how many requests it concerns.
import { wishesOf, type RequestSpec } from "../../core/model/request.js";
import { MODEL_NAMES } from "../../simulated-gpu/models.js";
import type { Residency } from "./fleet.js";
import type { RecordedTraffic } from "./traffic.js";
import { TIMED_WORK, type RecordedWorkload } from "./workload.js";

/** What a request can bring that the simulation leaves out, as it is called in the API. */
const LEFT_OUT: readonly (readonly [what: string, brings: (spec: RequestSpec) => boolean])[] = [
  ["specific_gpu_id", ({ specificGpuId }) => specificGpuId !== ""],
  ["strategy", ({ strategy }) => strategy !== ""],
  ["memory and hardware", ({ requirements }) => requirements.memoryMib > 0 || requirements.minComputeCapability > 0 || requirements.computeUnits > 0],
  ["timeout_ms", ({ timeoutMs }) => timeoutMs > 0],
  ["timeouts by stage", ({ handling }) => Object.values(handling?.timeouts ?? {}).some((ms) => ms !== undefined)],
  ["when_late: fail", (spec) => wishesOf(spec).whenLate === "fail"],
  ["on_interruption: fail", ({ handling }) => handling?.onInterruption === "fail"],
  ["idempotent: false", ({ idempotent }) => !idempotent],
];

/** One line for each. */
export function notesOf({ requests, refused, disconnects }: RecordedTraffic, { guessed, tenants }: RecordedWorkload, residency: Residency): string[] {
  const count = (of: (spec: RequestSpec) => boolean): number => requests.reduce((sum, { spec }) => sum + (of(spec) ? 1 : 0), 0);
  const models = [...new Set(tenants.map(({ modelId }) => modelId))].filter((model) => model !== TIMED_WORK && !MODEL_NAMES.includes(model));
  const leftOut = LEFT_OUT.map(([what, brings]) => ({ what, number: count(brings) })).filter(({ number }) => number > 0);
  const batches = new Set(requests.flatMap(({ spec }) => (spec.batch ? [spec.batch.id] : [])));
  const preemptible = count((spec) => wishesOf(spec).preemptible);
  const checkpoints = count((spec) => wishesOf(spec).checkpoint);
  const told = count(({ requirements }) => requirements.outputTokens > 0);
  const line = (when: boolean, text: string): string[] => (when ? [text] : []);
  return [
    ...line(models.length > 0, `Models that are not in the catalogue are taken for a dense one of 8 billion parameters: ${models.join(", ")}. Say better with --model.`),
    ...line(residency.guessed, "Some runners serve any model: which GPU holds which is guessed from what is asked for."),
    ...line(residency.crowded, "Some runners served more models than the simulated GPU holds at once: those that are asked for most lie there."),
    ...line(guessed > 0, `${guessed} requests did not complete: they are taken to be as long as their likes.`),
    ...line(told > 0 && told < requests.length, `${told} of ${requests.length} requests told the length of their answer; the simulation tells that of all or of none.`),
    ...line(tenants.some(({ modelId }) => modelId === TIMED_WORK), "Work that is not measured in tokens may run on any GPU of its type, and tells how long it takes."),
    ...line(leftOut.length > 0, `Not simulated, with how many requests brought it: ${leftOut.map(({ what, number }) => `${what} (${number})`).join(", ")}.`),
    ...line(batches.size > 0, `${count(({ batch }) => batch !== undefined)} requests came in ${batches.size} batches: each is placed by itself.`),
    ...line(preemptible + checkpoints > 0, `${preemptible} requests were preemptible, ${checkpoints} had checkpoints: simulated work may be stopped when it has no SLO, whatever it said, and has checkpoints when it is given as time.`),
    ...line(refused > 0, `${refused} requests were refused and are left out.`),
    ...line(disconnects > 0, `Connections to nodes that were lost meanwhile: ${disconnects}. Simulated nodes stay.`),
  ];
}
