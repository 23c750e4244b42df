// Everything that is folded from records beside the router. There is one for what is on the disk and one for what this life of the router knows.
import type { QuotaSettings } from "../../../src/core/model/quota.js";
import type { Record } from "../../../src/core/records.js";
import { Cordons } from "./cordons.js";
import { Facts } from "./facts.js";
import { QuotaOracle } from "./quota-oracle.js";

export class Knowledge {
  readonly facts: Facts;
  readonly cordons: Cordons;
  readonly quotas: QuotaOracle;
  readonly #withQuotas: boolean;

  constructor(settings: QuotaSettings, facts = new Facts(), cordons = new Cordons(), quotas = new QuotaOracle(settings)) {
    this.facts = facts;
    this.cordons = cordons;
    this.quotas = quotas;
    this.#withQuotas = settings.mode === "enforce";
  }

  /** One that goes on from here by itself. */
  copy(): Knowledge {
    return new Knowledge(this.quotas.settings, this.facts.copy(), this.cordons.copy(), this.quotas.copy());
  }

  /** Takes a record in; throws when it is one that must not be. */
  fold(record: Record): void {
    this.facts.fold(record);
    this.cordons.fold(record);
    if (this.#withQuotas) this.quotas.fold(record);
  }
}
