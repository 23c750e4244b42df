// Reads the lines in which the NVIDIA driver writes Xids to the kernel's log, as dmesg or /dev/kmsg give them. What they mean is the router's
// to say: it gets the number and the words behind it.

/** An Xid as the log has it. */
export interface XidLine {
  /** Such as "0000:9b:00": domain, bus and device in lower case, without the function. */
  readonly pciBusId: string;
  readonly xid: number;
  /** The words behind the number, without the process that they name; "" when there are none. */
  readonly detail: string;
}

// "NVRM: Xid (PCI:0000:05:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."; drivers before R450 leave "PCI:" out;
// those of a MIG instance say which behind the address, "GPU-I:05 GPU-CI:00", which does not matter: instances share their GPU's fate.
const XID = /NVRM: Xid \((?:PCI:)?([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2})(?:\.\d)?(?: GPU-I:\d+)?(?: GPU-CI:\d+)?\): (\d{1,5})(?:, (.*))?$/i;
const PROCESS = /^pid=[^,]*(?:, name=[^,]*)?(?:, |$)/;

/** null for a line without an Xid. */
export function readXidLine(line: string): XidLine | null {
  const [, place, xid, rest = ""] = XID.exec(line.trimEnd()) ?? [];
  if (place === undefined || xid === undefined) return null;
  return { pciBusId: pciBusIdOf(place), xid: Number(xid), detail: rest.replace(PROCESS, "").trim() };
}

/** As nvidia-smi and NVML write it, such as "00000000:9B:00.0", in the form of `XidLine`. */
export function pciBusIdOf(written: string): string {
  return written.toLowerCase().replace(/\.\d$/, "").replace(/^0000(?=[0-9a-f]{4}:)/, "");
}
