export { ChopmarkError, Client } from "./client.ts";
export type { Body, Data, Options, Settings } from "./client.ts";
export type { components, paths } from "./schema.ts";
