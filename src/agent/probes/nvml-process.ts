// The process that owns NVML. Started by `nvml-client.ts` and ended by it, with SIGKILL: NVML is only read, and the kernel cleans up.
// It blocks when the driver does; the agent does not. Takes no arguments, talks over the channel of `fork` only.
import { NvmlLibrary } from "./nvml-library.js";
import type { NvmlAnswers, NvmlMessage, NvmlRequest } from "./nvml-protocol.js";
import { NvmlSession } from "./nvml-session.js";

let session: NvmlSession | undefined;

function tell(message: NvmlMessage): void {
  if (process.connected) process.send?.(message);
}

async function open(file: string): Promise<NvmlSession> {
  const koffi = await import("koffi").catch(() => {
    throw new Error("NVML needs the optional package koffi, which is not installed here: run `npm install koffi`, or use nvidia-smi.");
  });
  let library: NvmlLibrary;
  try {
    library = new NvmlLibrary(koffi.default, file);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${file} cannot be loaded (${why}). It comes with the NVIDIA driver; in a container, with the NVIDIA container toolkit.`, { cause: error });
  }
  return new NvmlSession(library);
}

async function answer(request: NvmlRequest): Promise<NvmlAnswers[NvmlRequest["call"]]> {
  if (request.call === "open") {
    session = await open(request.library);
    void session.listen((event) => tell({ kind: "event", event })).catch((error: unknown) => console.error(`NVML tells no more Xid errors: ${String(error)}`));
    return session.uuids;
  }
  if (!session) throw new Error("NVML is not open.");
  return session.read(request.uuid);
}

process.on("message", (request: NvmlRequest) => {
  answer(request).then(
    (value) => tell({ kind: "answer", id: request.id, answer: value }),
    (error: unknown) => tell({ kind: "failure", id: request.id, message: error instanceof Error ? error.message : String(error) }),
  );
});
// The agent is gone.
process.on("disconnect", () => process.exit(0));
