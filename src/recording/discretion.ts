// What a recording must not tell: payloads and results become their sizes, texts that may quote them become empty, users and sessions
// other names if so wished. What is left decides the same: only sizes, ids and equality of the rest ever count. Used by the encoder.
import { hash, randomBytes } from "node:crypto";
import type { Event } from "../core/events.js";
import type { Caller } from "../core/model/caller.js";
import type { UserId } from "../core/model/ids.js";
import type { QuotaEntry, QuotaOverride, SubjectKind } from "../core/model/quota.js";
import type { StoredMaintenance } from "../core/maintenance/maintenance-book.js";
import type { Request, RequestSpec } from "../core/model/request.js";
import type { Record } from "../core/records.js";
import type { Snapshot } from "../core/snapshot.js";

const SALT_BYTES = 16;
const NAME_LENGTH = 16;
/** Bound on names that are remembered so as not to be hashed again. */
const MAX_NAMES = 10_000;

const NOBODY: Caller = { name: "", address: "" };

export class Discretion {
  readonly #hashUsers: boolean;
  // Kept by nobody: without it a name or a content cannot be tried out.
  readonly #salt = randomBytes(SALT_BYTES).toString("hex");
  readonly #names = new Map<string, string>();

  constructor(hashUsers: boolean) {
    this.#hashUsers = hashUsers;
  }

  event(event: Event): Event {
    switch (event.kind) {
      case "submit":
        return { ...event, spec: this.spec(event.spec) };
      case "cancel":
        return { ...event, reason: "", ...(event.by && { by: NOBODY }) };
      case "set_maintenance":
      case "restart_gpu":
        return { ...event, reason: "", by: NOBODY };
      case "gpu_restarted":
        return { ...event, message: "" };
      case "attempt_ended": {
        const { end } = event;
        return { ...event, end: { ...end, error: end.error && { ...end.error, message: "" }, result: sizeMark(end.result) } };
      }
      case "set_quota":
        return { ...event, ...this.#subject(event), by: "", reason: "" };
      default:
        return event;
    }
  }

  record<R extends Record>(record: R): R;
  record(record: Record): Record {
    switch (record.kind) {
      case "accepted":
        return { ...record, spec: this.spec(record.spec) };
      case "stop_requested":
        return { ...record, stop: { ...record.stop, reason: "", ...(record.stop.by && { by: NOBODY }) } };
      case "maintenance_set":
      case "gpu_restart_requested":
        return { ...record, reason: "", by: NOBODY };
      case "gpu_restart_ended":
        return { ...record, message: "" };
      case "attempt_failed":
        return { ...record, reason: "" };
      case "ended":
        return { ...record, error: record.error && { ...record.error, message: "" } };
      case "quota_set":
        return { ...record, entry: this.#entry(record.entry) };
      default:
        return record;
    }
  }

  snapshot(snapshot: Snapshot): Snapshot {
    const { quotas } = snapshot;
    const requests = snapshot.requests.map((live) => ({ ...live, request: this.#request(live.request) }));
    const discreet = { ...snapshot, requests, ...(snapshot.maintenance && { maintenance: discreetly(snapshot.maintenance) }) };
    if (!quotas) return discreet;
    const accounts = quotas.accounts.map((account) => ({ ...account, id: this.#subjectName(account.kind, account.id) }));
    return { ...discreet, quotas: { entries: quotas.entries.map((entry) => this.#entry(entry)), accounts } };
  }

  #entry(entry: QuotaEntry): QuotaEntry {
    return { ...entry, ...this.#subject(entry), by: "", reason: "" };
  }

  #subject({ subject, subjectId, override }: { readonly subject: SubjectKind; readonly subjectId: string; readonly override: QuotaOverride }) {
    const { team } = override;
    return { subjectId: this.#subjectName(subject, subjectId), override: team ? { ...override, team: this.#subjectName("team", team) } : override };
  }

  #subjectName(kind: SubjectKind, id: string): string {
    return this.#hashUsers ? this.#name(kind, id) : id;
  }

  spec(spec: RequestSpec): RequestSpec {
    const { contentHash, wishes } = spec;
    const discreet = { ...spec, payload: sizeMark(spec.payload), callbackUrl: "", contentHash: contentHash === "" ? "" : this.#hash(contentHash) };
    if (!this.#hashUsers) return discreet;
    const named = { ...discreet, userId: this.#name("user", spec.userId) as UserId };
    return wishes && wishes.sessionKey !== "" ? { ...named, wishes: { ...wishes, sessionKey: this.#name("session", wishes.sessionKey) } } : named;
  }

  #request(request: Request): Request {
    const { stop, error } = request;
    return { ...request, spec: this.spec(request.spec), stop: stop && { ...stop, reason: "", ...(stop.by && { by: NOBODY }) }, error: error && { ...error, message: "" } };
  }

  /** The same for the same text, as long as this lives: who comes again after ten thousand others is still the same. */
  #name(what: string, text: string): string {
    const key = `${what}-${text}`;
    let name = this.#names.get(key);
    if (name === undefined) {
      if (this.#names.size >= MAX_NAMES) this.#names.clear();
      name = `${what}-${this.#hash(key)}`;
      this.#names.set(key, name);
    }
    return name;
  }

  #hash(text: string): string {
    return hash("sha256", this.#salt + text).slice(0, NAME_LENGTH);
  }
}

function discreetly({ windows, restarts }: StoredMaintenance): StoredMaintenance {
  return {
    windows: windows.map((window) => ({ ...window, reason: "", by: NOBODY })),
    restarts: restarts.map((restart) => ({ ...restart, reason: "", by: NOBODY, message: "" })),
  };
}

/** A payload's size in its place: four bytes. */
function sizeMark(payload: Uint8Array): Uint8Array {
  const mark = new Uint8Array(4);
  new DataView(mark.buffer).setUint32(0, payload.byteLength, true);
  return mark;
}

/** The other way: zeros of the marked size, all of them views of one piece of memory. */
export class Fill {
  #zeros = new Uint8Array(64 * 1024);

  event(event: Event): Event {
    if (event.kind === "submit") return { ...event, spec: this.spec(event.spec) };
    return event.kind === "attempt_ended" ? { ...event, end: { ...event.end, result: this.#bytes(event.end.result) } } : event;
  }

  record(record: Record): Record {
    return record.kind === "accepted" ? { ...record, spec: this.spec(record.spec) } : record;
  }

  snapshot(snapshot: Snapshot): Snapshot {
    return { ...snapshot, requests: snapshot.requests.map((live) => ({ ...live, request: { ...live.request, spec: this.spec(live.request.spec) } })) };
  }

  spec(spec: RequestSpec): RequestSpec {
    return { ...spec, payload: this.#bytes(spec.payload) };
  }

  zeros(size: number): Uint8Array {
    if (size > this.#zeros.byteLength) this.#zeros = new Uint8Array(size);
    return this.#zeros.subarray(0, size);
  }

  #bytes(mark: Uint8Array): Uint8Array {
    return this.zeros(new DataView(mark.buffer, mark.byteOffset, mark.byteLength).getUint32(0, true));
  }
}
