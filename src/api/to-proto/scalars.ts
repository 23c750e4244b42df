// From the model's numbers to protobuf's scalars. Used by the translators beside it. What a field cannot hold becomes the
// nearest value it can, and what is not a number becomes 0: a figure that is off must not cost the whole answer.
import { timestampFromMs, type Timestamp } from "@bufbuild/protobuf/wkt";

const UINT32_MAX = 0xffff_ffff;

/** `value` rounded into 0..2^32-1. */
export function uint32(value: number): number {
  return value > 0 ? Math.min(Math.round(value), UINT32_MAX) : 0;
}

/** `value` without its fraction, at least 0. */
export function uint64(value: number): bigint {
  return value > 0 && Number.isFinite(value) ? BigInt(Math.trunc(value)) : 0n;
}

/** `value`, or 0 for what the device cannot say. */
export function known(value: number): number {
  return Number.isNaN(value) ? 0 : value;
}

/** UTC milliseconds, where 0 means not yet, as a timestamp or its absence. */
export function timestamp(atMs: number): Timestamp | undefined {
  return atMs > 0 ? timestampFromMs(atMs) : undefined;
}
