import { reactive } from "vue";
import { client } from "../api.ts";
import { can, session } from "../session.ts";

const products = reactive(new Map<number, string>()), brands = reactive(new Map<number, string>());
const asked = new Set<string>();

function once(key: string, ask: () => Promise<void>): void {
  if (asked.has(key)) return;
  asked.add(key);
  ask().catch(() => asked.delete(key)); // its number is shown instead
}

/** A product's name, once it is known. */
export function productName(id: number | undefined): string {
  if (id === undefined) return "";
  once(`p${id}`, async () => { products.set(id, (await client.get("/api/v1/products/{product_id}", { path: { product_id: id } })).name); });
  return products.get(id) ?? `#${id}`;
}

export function brandName(id: number | undefined): string {
  if (id === undefined) return "";
  once(`b${id}`, async () => { brands.set(id, (await client.get("/api/v1/brands/{brand_id}", { path: { brand_id: id } })).name); });
  return brands.get(id) ?? `#${id}`;
}

const people = reactive(new Map<string, string>());

/** Who did something: oneself, a user as far as one may know, a key by its name; else the id. */
export function personName(id: string | undefined | null): string {
  if (!id) return "–";
  if (id === session.me?.id) return session.me.name;
  if (id.startsWith("usr_") && can("user:read")) once(id, async () => {
    const u = await client.get("/api/v1/users/{user_id}", { path: { user_id: id } });
    if (u.login) people.set(id, `${u.name} (${u.login})`);
  });
  if (id.startsWith("apk_") && can("key:read")) once("keys", async () => { for (const k of (await client.get("/api/v1/keys")).keys) people.set(k.key_id, k.name); });
  return people.get(id) ?? id;
}

/** Forgets the names, after one was changed. */
export function renamed(): void {
  asked.clear();
  people.clear();
  products.clear();
  brands.clear();
}
