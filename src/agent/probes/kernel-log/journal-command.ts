// Reads the kernel's messages through journalctl: the way for an agent that may not read /dev/kmsg but is in the group systemd-journal or adm.
// Opened by kernel-log.ts.
import { spawn } from "node:child_process";
import { LineSplitter, type OpenLineSource } from "./line-source.js";

const FOLLOW = ["--dmesg", "--follow", "--lines=0", "--output=cat", "--no-pager"];
/** It says so, and goes on without the messages that it may not show. */
const NOT_ALLOWED = /insufficient permissions|not seeing messages|no journal files were/i;
/** One that has not complained for so long is taken to follow, ms. */
const SETTLED_AFTER_MS = 500;
const MAX_SAID_CHARS = 500;

/** Rejects with what to do where there is no journalctl or the journal may not be read. */
export function openJournal(command: string, onLine: (line: string) => void): Promise<OpenLineSource> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, FOLLOW, { stdio: ["ignore", "pipe", "pipe"], windowsHide: true });
    const lines = new LineSplitter(onLine);
    let said = "";
    let end = (reason: string): void => reject(new Error(reason));
    const ended = new Promise<string>((whenEnded) => {
      const timer = setTimeout(() => {
        end = whenEnded;
        resolve({ name: command, ended, close });
      }, SETTLED_AFTER_MS);
      const close = (): void => {
        clearTimeout(timer);
        child.removeAllListeners();
        // What it still says in dying is nobody's business, an error of the kill neither.
        child.on("error", () => {});
        child.stdout.removeAllListeners("data");
        child.kill("SIGKILL");
      };
      const over = (reason: string): void => {
        close();
        end(reason);
      };
      child.stdout.setEncoding("utf8").on("data", (text: string) => lines.push(text));
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        said = (said + text).slice(-MAX_SAID_CHARS);
        if (NOT_ALLOWED.test(said)) over("the journal may not be read");
      });
      child.on("error", (error: NodeJS.ErrnoException) => over(error.code === "ENOENT" ? "not found" : error.message));
      // When its last words have been read too.
      child.on("close", (code, signal) => over(`it ended with ${signal ?? `exit code ${code}`}${said === "" ? "" : `: ${said.trim()}`}`));
    });
  });
}
