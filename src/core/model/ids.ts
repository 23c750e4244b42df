// The identifiers of the domain, as types that do not mix.
import type { Branded } from "../../lib/branded.js";

/** 1..128 characters out of letters, digits and `_.:-`, beginning with a letter or digit. */
export type RequestId = Branded<string, "RequestId">;
/** NVML UUID, or a name that says "sim". */
export type GpuId = Branded<string, "GpuId">;
export type NodeId = Branded<string, "NodeId">;
export type UserId = Branded<string, "UserId">;
/** A model, or an operator-named command, that runners advertise. */
export type ModelId = Branded<string, "ModelId">;

/** Names one dispatch of a request; attempts count from 1. */
export interface AttemptRef {
  readonly requestId: RequestId;
  readonly attempt: number;
}
