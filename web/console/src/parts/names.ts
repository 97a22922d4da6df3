import { reactive } from "vue";
import { client } from "../api.ts";

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

/** Forgets the names, after one was changed. */
export function renamed(): void {
  asked.clear();
  products.clear();
  brands.clear();
}
