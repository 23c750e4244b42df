// Shows one request until it ends, for `watch` and `route --wait`: output on stdout, what happens to it on stderr,
// or every event as a line of JSON. Ctrl-C detaches; it never cancels the work.
import { type Output, type RequestInfo, RequestState, WatchResponseSchema } from "../../gen/gpurouter/v1/router_pb.js";
import { seededRandom } from "../lib/random.js";
import { systemClock } from "./clock.js";
import { ExitCode } from "./failure.js";
import { jsonLine } from "./json-output.js";
import { durationText, printable, shareText } from "./quantity-text.js";
import { standingText } from "./request-text.js";
import { nextCommand, type RouterSession } from "./router-command.js";
import { styleFor } from "./style.js";
import { write } from "./terminal.js";
import { isFinal, watchToEnd } from "./watch-to-end.js";

// How long to look for a router that went away, ms.
const GIVE_UP_MS = 120_000;

/** Follows a request and gives the exit code: 0 completed, 1 failed, 3 cancelled, 130 detached. `known` says that the router has acknowledged it. */
export async function showWatch(session: RouterSession, requestId: string, known: boolean): Promise<number> {
  const { terminal, json } = session;
  const style = styleFor(terminal.stderr, terminal.env);
  const detach = new AbortController();
  const stopListening = terminal.onInterrupt(() => detach.abort());
  const name = printable(requestId);
  const note = async (text: string): Promise<void> => {
    await output.endLine();
    await write(terminal.stderr, `${style.bold(name)} ${text}\n`);
  };
  const output = new OutputPrinter(session, note);
  let last: RequestInfo | undefined;
  let lastLine = "";
  let away = false;
  try {
    const events = watchToEnd(session.client, requestId, {
      clock: systemClock,
      random: seededRandom(process.pid),
      giveUpMs: GIVE_UP_MS,
      firstGiveUpMs: known ? GIVE_UP_MS : 0,
      signal: detach.signal,
      onRetry: () => {
        // Once for each time that it is away, however often it is tried.
        if (!away) void note(style.yellow(`connection to ${session.address} lost, trying again for ${durationText(GIVE_UP_MS)}`));
        away = true;
      },
    });
    for await (const message of events) {
      if (away) await note("connected again");
      away = false;
      if (message.event.case === "request") last = message.event.value;
      if (json) {
        await write(terminal.stdout, jsonLine(WatchResponseSchema, message));
      } else if (message.event.case === "request") {
        const line = standingText(message.event.value, style);
        if (line !== lastLine) await note(line);
        lastLine = line;
      } else if (message.event.case === "progress") {
        const { fraction, message: words } = message.event.value;
        await note(`${shareText(fraction)}${words === "" ? "" : ` ${printable(words)}`}`);
      } else if (message.event.case === "outputVoid") {
        await note(style.yellow(`the output of attempt ${message.event.value.attempt} is void: ${printable(message.event.value.reason)}`));
      } else if (message.event.case === "output") {
        await output.print(message.event.value);
      }
    }
  } finally {
    stopListening();
  }
  if (last === undefined || !isFinal(last.state)) {
    await write(terminal.stderr, `Detached; ${name} goes on. Follow it with \`${nextCommand(`watch ${name}`, session)}\`, end it with \`${nextCommand(`cancel ${name}`, session)}\`.\n`);
    return ExitCode.interrupted;
  }
  if (!json) await output.finish(last);
  if (last.state === RequestState.COMPLETED) return ExitCode.ok;
  return last.state === RequestState.CANCELLED ? ExitCode.cancelled : ExitCode.failed;
}

/** Prints each byte of output once, though streams are cut and pieces come again. */
class OutputPrinter {
  #attempt = 0;
  #nextOffset = 0;
  #endsLine = true;

  constructor(
    private readonly session: RouterSession,
    private readonly note: (text: string) => Promise<void>,
  ) {}

  async print(output: Output): Promise<void> {
    if (output.attempt < this.#attempt) return;
    if (output.attempt > this.#attempt) {
      if (this.#attempt > 0) await this.note(`attempt ${output.attempt}: the output starts over`);
      this.#attempt = output.attempt;
      this.#nextOffset = 0;
    }
    const offset = Number(output.offset);
    if (offset > this.#nextOffset) await this.note(`${offset - this.#nextOffset} bytes of output are missing here`);
    const fresh = output.data.subarray(Math.max(0, this.#nextOffset - offset));
    if (fresh.length === 0) return;
    this.#nextOffset = offset + output.data.length;
    this.#endsLine = fresh.at(-1) === 0x0a;
    await write(this.session.terminal.stdout, fresh);
  }

  /** Where output and notes share a screen, a note begins a line of its own. */
  async endLine(): Promise<void> {
    const { stdout, stderr } = this.session.terminal;
    if (this.#endsLine || stdout.isTTY !== true || stderr.isTTY !== true) return;
    this.#endsLine = true;
    await write(stdout, "\n");
  }

  /** Without streamed output the result is shown instead; bytes that are no text only into a pipe. */
  async finish(request: RequestInfo): Promise<void> {
    const { stdout } = this.session.terminal;
    if (this.#nextOffset > 0) {
      if (stdout.isTTY === true && !this.#endsLine) await write(stdout, "\n");
      return;
    }
    if (request.resultUrl !== "") await this.note(`result at ${printable(request.resultUrl)}`);
    if (request.result.length === 0) return;
    const isText = /^text\/|json|xml|yaml/.test(request.resultContentType);
    if (stdout.isTTY !== true) return await write(stdout, request.result);
    if (!isText) return await this.note(`result: ${request.result.length} bytes of ${printable(request.resultContentType)}; send stdout to a file to keep them`);
    await write(stdout, request.result);
    if (request.result.at(-1) !== 0x0a) await write(stdout, "\n");
  }
}
