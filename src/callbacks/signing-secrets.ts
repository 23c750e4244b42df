// Signs callbacks as Standard Webhooks says: webhook-id, webhook-timestamp and webhook-signature (v1, HMAC-SHA256). Secrets come from a file,
// one a line, the newest first; every one of them signs, so that receivers may change over one after the other. Called by sender.ts.
import { createHmac, randomBytes } from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";

const PREFIX = "whsec_";
const NEW_SECRET_BYTES = 32;
/** What Standard Webhooks asks for. */
const MIN_SECRET_BYTES = 24;
const MAX_SECRET_BYTES = 64;
const MAX_SECRETS = 8;
/** The file is looked at again this often. */
const LOOK_EVERY_MS = 5_000;

export class SigningSecrets {
  readonly #file: string;
  readonly #onTrouble: (trouble: string) => void;
  #keys: readonly Buffer[];
  #changedAtMs: number;
  #lookedAtMs: number;

  /** Throws with what to do when the file is not there or is not one of secrets. */
  constructor(file: string, nowMs: number, onTrouble: (trouble: string) => void) {
    this.#file = file;
    this.#onTrouble = onTrouble;
    this.#keys = readSecrets(file);
    this.#changedAtMs = statSync(file).mtimeMs;
    this.#lookedAtMs = nowMs;
  }

  /** The three headers of one try. `nowMs` is UTC. */
  headers(eventId: string, body: string, nowMs: number): Readonly<Record<string, string>> {
    this.#look(nowMs);
    const timestamp = `${Math.floor(nowMs / 1_000)}`;
    const signatures = this.#keys.map((key) => `v1,${createHmac("sha256", key).update(`${eventId}.${timestamp}.${body}`).digest("base64")}`);
    return { "webhook-id": eventId, "webhook-timestamp": timestamp, "webhook-signature": signatures.join(" ") };
  }

  /** Takes over a file that has changed; one that cannot be used leaves the secrets as they are. */
  #look(nowMs: number): void {
    if (nowMs - this.#lookedAtMs < LOOK_EVERY_MS) return;
    this.#lookedAtMs = nowMs;
    try {
      const { mtimeMs } = statSync(this.#file);
      if (mtimeMs === this.#changedAtMs) return;
      this.#changedAtMs = mtimeMs;
      this.#keys = readSecrets(this.#file);
    } catch (error) {
      this.#onTrouble(`the secrets of callbacks stay as they were: ${(error as Error).message}`);
    }
  }
}

/** Makes a file with one random secret, for its owner only, unless it is there. */
export function makeSecrets(file: string): void {
  if (!existsSync(file)) writeFileSync(file, `${PREFIX}${randomBytes(NEW_SECRET_BYTES).toString("base64")}\n`, { flag: "wx", mode: 0o600 });
}

/** Throws, without quoting a secret, when a line is not one. */
function readSecrets(file: string): readonly Buffer[] {
  const lines = textOf(file).split("\n").map((line) => line.trim());
  const keys = lines.flatMap((line, index) => (line === "" || line.startsWith("#") ? [] : [keyOf(line, `${file} line ${index + 1}`)]));
  if (keys.length === 0) throw new Error(`${file} holds no secret: give one a line, as ${PREFIX} and base64 of ${MIN_SECRET_BYTES} to ${MAX_SECRET_BYTES} random bytes.`);
  if (keys.length > MAX_SECRETS) throw new Error(`${file} holds ${keys.length} secrets: at most ${MAX_SECRETS} sign at a time.`);
  return keys;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new Error(`The secrets of callbacks cannot be read: ${(error as Error).message}. Put them there, or leave callbacks.secrets_file empty.`, { cause: error });
  }
}

function keyOf(line: string, where: string): Buffer {
  const encoded = line.startsWith(PREFIX) ? line.slice(PREFIX.length) : "";
  const key = Buffer.from(encoded, "base64");
  const well = /^[A-Za-z0-9+/]+={0,2}$/.test(encoded) && key.length >= MIN_SECRET_BYTES && key.length <= MAX_SECRET_BYTES;
  if (!well) throw new Error(`${where} is not a secret: expected ${PREFIX} and base64 of ${MIN_SECRET_BYTES} to ${MAX_SECRET_BYTES} random bytes.`);
  return key;
}
