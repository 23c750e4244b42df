// Divides a fleet into a part for batch work and the rest, as an operator would: of every kind alike, and each part able to do its work.
import type { GpuKind } from "../simulated-gpu/gpu-kinds.js";

/**
 * By GPU whether it is in the part that has the share `share`. Every so manyth GPU is, from the first place at which `able` holds for
 * the rest (side 0) and the part (side 1); where there is none, the part grows by a GPU at a time. Null when no division is able.
 */
export function partition(kinds: readonly GpuKind[], share: number, able: (kinds: readonly GpuKind[], side: 0 | 1) => boolean): boolean[] | null {
  for (let size = Math.max(1, Math.round(share * kinds.length)); size < kinds.length; size += 1) {
    const stride = kinds.length / size;
    for (let shift = 0; shift < stride; shift += 1) {
      // From the end on: the last GPU of each stretch first.
      const inPart = kinds.map(() => false);
      for (let place = 1; place <= size; place += 1) inPart[Math.max(0, Math.round(place * stride) - 1 - shift)] = true;
      const side = (wanted: boolean): GpuKind[] => kinds.filter((_, gpu) => inPart[gpu] === wanted);
      if (able(side(true), 1) && able(side(false), 0)) return inPart;
    }
  }
  return null;
}
