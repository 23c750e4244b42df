// What the agent and the NVML process say to each other over the channel between them. Every request gets one reply.
import type { GpuProbeEvent } from "./probe.js";
import type { WholeGpu } from "./gpu-reading.js";

/** `open` comes first: it loads `library` and answers the UUIDs of the physical GPUs. `read` answers for one of them. */
export type NvmlRequest =
  | { readonly id: number; readonly call: "open"; readonly library: string }
  | { readonly id: number; readonly call: "read"; readonly uuid: string };

/** What the calls answer. */
export interface NvmlAnswers {
  readonly open: readonly string[];
  readonly read: readonly WholeGpu[];
}

export type NvmlMessage =
  | { readonly kind: "answer"; readonly id: number; readonly answer: NvmlAnswers[NvmlRequest["call"]] }
  | { readonly kind: "failure"; readonly id: number; readonly message: string }
  | { readonly kind: "event"; readonly event: GpuProbeEvent };
