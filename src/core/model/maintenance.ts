// What operators take out of service, and the restarts that they ask for.
import type { Caller } from "./caller.js";
import type { GpuId, NodeId } from "./ids.js";

/** A GPU with the MIG instances that are part of it, or one of those; or all GPUs of a node. */
export type MaintenanceTarget = { readonly kind: "gpu"; readonly gpuId: GpuId } | { readonly kind: "node"; readonly nodeId: NodeId };

/** A target that is out of service until somebody puts it back. Times are UTC ms. */
export interface MaintenanceWindow {
  readonly target: MaintenanceTarget;
  readonly reason: string;
  readonly by: Caller;
  readonly sinceMs: number;
  /** When it should be over; 0 when unknown. */
  readonly untilMs: number;
  /** When work that still runs there is stopped; 0 for never. */
  readonly drainByMs: number;
}

/** How an agent's command went. */
export type RestartOutcome = "succeeded" | "failed" | "refused";

/**
 * `draining` waits until nothing runs on the GPU, `ordered` for the agent's word. The others are ends: `agent_restarted` when the agent's
 * process was replaced before it told one and its lease is out since, `withdrawn` when the target was put back before the order went out.
 */
export type RestartState = "draining" | "ordered" | RestartOutcome | "agent_restarted" | "withdrawn";

/** One restart of one GPU. Times are UTC ms; 0 means not yet. */
export interface GpuRestart {
  /** Unique in the life of a journal, and beyond it unless its clock goes back. */
  readonly restartId: string;
  readonly gpuId: GpuId;
  /** Its work is stopped at once. */
  readonly force: boolean;
  readonly reason: string;
  readonly by: Caller;
  readonly requestedAtMs: number;
  /** When work that still runs there is stopped; 0 for never. */
  readonly drainByMs: number;
  readonly state: RestartState;
  /** The agent's process that was told; "" before. */
  readonly instanceId: string;
  /** What the command said; "" before the end. */
  readonly message: string;
  readonly endedAtMs: number;
}

/** Why a GPU is not restarted. */
export type RestartRefusal =
  | { readonly kind: "unknown_gpu" }
  /** A part of a GPU, which is restarted as a whole. */
  | { readonly kind: "mig_instance"; readonly parentGpuId: GpuId }
  | { readonly kind: "node_away"; readonly nodeId: NodeId }
  /** Its node no longer reports it. */
  | { readonly kind: "absent"; readonly nodeId: NodeId }
  | { readonly kind: "no_command"; readonly nodeId: NodeId }
  | { readonly kind: "under_way"; readonly restart: GpuRestart };

/** Why a GPU is out of service, as it is shown. */
export interface GpuMaintenance {
  readonly reason: string;
  /** UTC ms; 0 when unknown. */
  readonly untilMs: number;
}

export function isRestartOver({ state }: GpuRestart): boolean {
  return state !== "draining" && state !== "ordered";
}

/** A text that two targets share when they are the same. */
export function targetKey(target: MaintenanceTarget): string {
  return target.kind === "gpu" ? `gpu ${target.gpuId}` : `node ${target.nodeId}`;
}
