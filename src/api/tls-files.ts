// The router's certificate and the authorities of its clients', from files, for both ports. Looks at the files now and then and
// takes new ones without a restart; what does not fit together (half of a pair was exchanged) is left until it does.
import { readFileSync, statSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { Logger } from "pino";

export interface TlsSettings {
  /** Files in PEM. */
  readonly cert: string;
  readonly key: string;
  /** "" when clients are not asked for certificates. */
  readonly clientCa: string;
  /** Whether a connection without a genuine certificate is refused at once; otherwise it needs a key. */
  readonly requireClientCert: boolean;
}

/** Contents of the files, as node:tls takes them. */
export interface TlsContext {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
  readonly minVersion: "TLSv1.2";
}

const LOOK_EVERY_MS = 2_000;
/** A connection that has not agreed on a key by then is closed, ms. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

export class TlsFiles {
  readonly #settings: TlsSettings;
  readonly #log: Pick<Logger, "info" | "error">;
  readonly #listeners = new Set<(context: TlsContext) => void>();
  readonly #timer: NodeJS.Timeout;
  #context: TlsContext;
  #seen: string;
  #trouble = "";

  /** Throws, naming the file, when what is there cannot be used. */
  constructor(settings: TlsSettings, log: Pick<Logger, "info" | "error">, lookEveryMs = LOOK_EVERY_MS) {
    this.#settings = settings;
    this.#log = log;
    this.#seen = this.#fingerprint();
    this.#context = this.#read();
    this.#timer = setInterval(() => this.#look(), lookEveryMs);
    this.#timer.unref();
  }

  get context(): TlsContext {
    return this.#context;
  }

  /** What a server is made with and that does not change. */
  get serverOptions(): { readonly requestCert: boolean; readonly rejectUnauthorized: boolean; readonly handshakeTimeout: number } {
    const { clientCa, requireClientCert } = this.#settings;
    return { requestCert: clientCa !== "", rejectUnauthorized: requireClientCert, handshakeTimeout: HANDSHAKE_TIMEOUT_MS };
  }

  /** Calls back with what new connections shall get; the returned function ends that. */
  onChange(listener: (context: TlsContext) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    try {
      const now = this.#fingerprint();
      if (now === this.#seen) return;
      const context = this.#read();
      this.#seen = now;
      this.#context = context;
      this.#trouble = "";
      for (const listener of this.#listeners) listener(context);
      this.#log.info({ cert: this.#settings.cert }, "new certificate in use");
    } catch (error) {
      const trouble = error instanceof Error ? error.message : String(error);
      // Once per kind of trouble, not once per look.
      if (trouble !== this.#trouble) this.#log.error({ trouble }, "the new certificate cannot be used; going on with the old one");
      this.#trouble = trouble;
    }
  }

  #read(): TlsContext {
    const { cert, key, clientCa } = this.#settings;
    const context: TlsContext = {
      cert: contentOf(cert, "tls.cert"),
      key: contentOf(key, "tls.key"),
      ...(clientCa !== "" && { ca: contentOf(clientCa, "tls.client_ca") }),
      minVersion: "TLSv1.2",
    };
    try {
      createSecureContext(context);
    } catch (error) {
      throw new Error(`tls.cert ${cert} and tls.key ${key} cannot be used together: ${(error as Error).message}`, { cause: error });
    }
    return context;
  }

  /** Changes when any of the files does. */
  #fingerprint(): string {
    const { cert, key, clientCa } = this.#settings;
    return [cert, key, ...(clientCa === "" ? [] : [clientCa])]
      .map((file) => {
        const { mtimeMs, ino, size } = statSync(file, { throwIfNoEntry: false }) ?? { mtimeMs: 0, ino: 0, size: 0 };
        return `${mtimeMs} ${ino} ${size}`;
      })
      .join(" ");
  }
}

function contentOf(file: string, setting: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Error(`${setting}: ${(error as Error).message}`, { cause: error });
  }
}
