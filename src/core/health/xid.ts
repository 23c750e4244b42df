// What an Xid, the NVIDIA driver's number for an error, means for the GPU that it is about: one table, and the words of the kernel's log
// where the number alone does not tell. Read by fleet-health.ts. Sorted from NVIDIA's public Xid catalogue of October 2025 by what it says
// to do first and by what has to be looked into; where that leaves it open, by what it means for work that is on the GPU.

/**
 * `application`: the work's own fault, or a sign of another Xid that says more; never counts against the GPU. `notice`: nothing to do.
 * `warning`: the GPU goes on, but may not be well. `reset`: it goes on until it is reset; what runs may end. `fatal`: it computes nothing
 * more until it is reset or the machine restarted; what runs is lost.
 */
export type XidClass = "application" | "notice" | "warning" | "reset" | "fatal";

const CLASSES: readonly (readonly [XidClass, string, readonly number[]])[] = [
  // Bad push buffers, faults of kernels, page faults, stopped channels and the clean-up after them; illegal accesses of a driver's client.
  ["application", "fault of an application", [11, 13, 25, 31, 32, 37, 43, 45, 66, 69, 80, 137]],
  ["notice", "of no consequence", [14, 93, 106, 107, 141, 152, 153, 162, 164, 165]],
  // Engines that need the application to start again, without a word on whose fault it was: processing, copying, video, pictures.
  ["warning", "engine stopped processing", [8, 38, 39, 40, 41, 44, 70, 71, 72, 75, 76, 77, 85, ...range(126, 135)]],
  ["warning", "video or picture engine failed", [60, 68, 82, 83, 84, 86, 88, 89, ...range(96, 105), 139, 142]],
  ["warning", "memory error, corrected or contained", [63, 92, 94, 157, 171]],
  ["warning", "power or firmware trouble", [54, 67, 78, 121, 160, 161, 163, 168]],
  // Which of NVLink's own events these are is in the log's text alone.
  ["warning", "NVLink event", range(144, 150)],
  ["warning", "recovery action changed", [154]],
  ["reset", "memory error that is not corrected", [48, 172]],
  ["reset", "memory could not be remapped", [64]],
  ["reset", "memory or channels were retired", [156]],
  ["reset", "contexts cannot be switched", [109]],
  ["reset", "NVLink failed", [74, 136, 155]],
  ["reset", "security or key fault", [110, 151, 159, 166, 169, 170]],
  ["fatal", "GPU stopped", [46, 62, 143, 158]],
  ["fatal", "fell off the bus", [79]],
  ["fatal", "memory error that is not contained", [95, 140]],
  ["fatal", "firmware of the GPU does not answer", [119, 120]],
  ["fatal", "PCIe stopped", [167]],
];

interface Meaning {
  readonly xidClass: XidClass;
  /** In a few words. */
  readonly text: string;
}

const MEANINGS: ReadonlyMap<number, Meaning> = new Map(CLASSES.flatMap(([xidClass, text, xids]) => xids.map((xid) => [xid, { xidClass, text }] as const)));

/** NVLink 5: the log says whether an event was fatal to the link, as the second word of its text. */
const NVLINK_XIDS = { from: 144, to: 150 } as const;
/** What the driver wants done, by the number that the log's text ends in, after Xid 154. */
const RECOVERY_ACTIONS: ReadonlyMap<number, Meaning> = new Map([
  [0, { xidClass: "notice", text: "recovery action is none" }],
  [1, { xidClass: "reset", text: "driver asks for a reset of the GPU" }],
  [2, { xidClass: "fatal", text: "driver asks for a restart of the node" }],
  [3, { xidClass: "reset", text: "driver asks to drain what shares memory with the GPU" }],
  [4, { xidClass: "reset", text: "driver asks to drain and reset the GPU" }],
]);

/** What is made of an Xid; `detail` is the text of the kernel's log behind the number, "" where there is none. Unknown ones are warnings. */
export function meaningOfXid(xid: number, detail = ""): Meaning {
  if (xid === 154) {
    const action = /\bto 0x([0-9a-f]+)\b/i.exec(detail)?.[1];
    const meant = action === undefined ? undefined : RECOVERY_ACTIONS.get(Number.parseInt(action, 16));
    if (meant) return meant;
  }
  if (xid >= NVLINK_XIDS.from && xid <= NVLINK_XIDS.to) {
    const severity = /\b(Fatal|Nonfatal)\b/i.exec(detail)?.[1]?.toLowerCase();
    if (severity === "fatal") return { xidClass: "reset", text: "NVLink event, fatal to the link" };
    if (severity === "nonfatal") return { xidClass: "notice", text: "NVLink event, not fatal" };
  }
  return MEANINGS.get(xid) ?? { xidClass: "warning", text: "an error of a kind that is not known" };
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
