// Issues ten codes of a batch, activates them and looks at the first.
// Run: CHOPMARK_URL=http://127.0.0.1:8080 CHOPMARK_KEY=… npx tsx examples/issue.ts
import { Client } from "../src/index.ts";

declare const process: { env: Record<string, string | undefined> };

const client = new Client({ baseURL: process.env.CHOPMARK_URL ?? "http://127.0.0.1:8080", key: process.env.CHOPMARK_KEY ?? "" });
const { brand_id } = await client.post("/api/v1/brands", { body: { name: "Example" } });
const { product_id } = await client.post("/api/v1/products", { body: { brand_id, name: "Bottle" } });
const { batch_id } = await client.post("/api/v1/batches", { body: { product_id, batch_no: "B-1", quantity: 10, rotate_every: "1h" } });
const claim = await client.post("/api/v1/batches/{batch_id}/claims", { path: { batch_id }, body: { quantity: 10, claimant: "line 1" } });
await client.post("/api/v1/codes/state", { body: { select: { batch_id }, to: "active", reason: "packed" } });
const code = claim.codes?.[0];
if (code) console.log(await client.get("/api/v1/codes/{code}", { path: { code } }));
