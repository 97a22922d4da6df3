import type { Body, Data } from "@chopmark/sdk";

export type Changed = Data<"post", "/api/v1/codes/state">;
export type Change = Body<"post", "/api/v1/codes/state">;

/** The codes of a pasted or uploaded list: 18 digits wherever they stand, in links and columns too, each once. */
export function codesIn(text: string): string[] {
  return [...new Set(text.match(/(?<!\d)\d{18}(?!\d)/g) ?? [])];
}
