// Reads the result that a command may have left in its private directory. Called by `exec.ts`.
import { constants } from "node:fs";
import { open } from "node:fs/promises";

export type ResultFile =
  | { readonly kind: "read"; readonly bytes: Buffer }
  | { readonly kind: "absent" }
  | { readonly kind: "unusable"; readonly code: "result_too_large" | "result_unreadable"; readonly message: string };

/** Links and devices are refused, and files of others than `ownerId`: the result is what the command wrote, not what it points at. */
export async function readResultFile(path: string, maxBytes: number, ownerId: number | null = null): Promise<ResultFile> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    // Non-blocking: opening a FIFO would wait for a writer.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { kind: "absent" };
    return unreadable((error as Error).message);
  }
  try {
    const status = await file.stat();
    if (!status.isFile()) return unreadable("it is not a regular file");
    if (ownerId !== null && status.uid !== ownerId) return unreadable("it belongs to somebody else than the command runs as");
    if (status.size > maxBytes) {
      const fact = `The result file has ${status.size} bytes, more than the router takes (${maxBytes}).`;
      const message = `${fact} Write large results to shared storage and return their address.`;
      return { kind: "unusable", code: "result_too_large", message };
    }
    return { kind: "read", bytes: await file.readFile() };
  } catch (error) {
    return unreadable((error as Error).message);
  } finally {
    await file.close();
  }
}

function unreadable(why: string): ResultFile {
  return { kind: "unusable", code: "result_unreadable", message: `The file at GPU_ROUTER_RESULT_FILE cannot be used: ${why}.` };
}
