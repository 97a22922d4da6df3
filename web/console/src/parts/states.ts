/** The states that a person may ask for, in the order of an item's life. docs/states.md has the table of moves. */
export const targets = [
  "active", "inactive", "in_progress", "in_transit", "sellable_accessible", "sellable_not_accessible", "retail_sold", "dispensed", "returned",
  "recalled", "stolen", "damaged", "no_pedigree_match", "expired", "destroyed", "disposed", "void",
] as const;
export type Target = (typeof targets)[number];

const good = new Set(["active", "in_progress", "in_transit", "sellable_accessible", "sellable_not_accessible", "retail_sold", "dispensed", "authentic", "authentic_again", "sold", "done", "approved", "closed"]);
const warn = new Set(["returned", "inactive", "damaged", "stolen", "no_pedigree_match", "suspicious", "consumed", "superseded", "unconfirmed", "invited", "pending", "running", "queued", "open"]);
const bad = new Set(["recalled", "void", "expired", "destroyed", "disposed", "failed", "rejected", "disabled"]);

/** How a state or verdict is coloured; its words tell the same. */
export const tone = (state: string): "good" | "warn" | "bad" | "calm" => (good.has(state) ? "good" : warn.has(state) ? "warn" : bad.has(state) ? "bad" : "calm");

/** Moves that are hard or impossible to take back. */
export const grave = (to: string): boolean => ["recalled", "void", "destroyed", "disposed", "expired"].includes(to);
