import { expect, test } from "vitest";
import { ChopmarkError, Client } from "../src/index.ts";

interface Sent { url: string; init: RequestInit & { headers: Record<string, string> } }

function peer(...answers: (() => Response)[]) {
  const sent: Sent[] = [];
  const client = new Client({
    baseURL: "https://goods.example", key: "secret", sleep: async () => {},
    fetch: async (url, init) => {
      sent.push({ url: String(url), init: init as Sent["init"] });
      const next = answers[Math.min(sent.length, answers.length) - 1];
      if (!next) throw new Error("no answer planned");
      return next();
    },
  });
  return { client, sent };
}

const ok = (data: unknown) => () => Response.json({ code: 200, message: "success", data });
const lost = () => { throw new TypeError("connection reset"); };
const down = () => Response.json({ code: 503, message: "draining", error: "not_ready", data: null }, { status: 503 });

test("a request is made of path, query, key and body", async () => {
  const { client, sent } = peer(ok({ batch_id: "bat_1", quantity: 5 }));
  const made = await client.post("/api/v1/batches", { body: { product_id: 7, batch_no: "B", quantity: 5, rotate_every: "off" } });
  expect(made.batch_id).toBe("bat_1");
  expect(sent[0]?.url).toBe("https://goods.example/api/v1/batches");
  expect(sent[0]?.init.headers.Authorization).toBe("Bearer secret");
  expect(sent[0]?.init.body).toBe('{"product_id":7,"batch_no":"B","quantity":5,"rotate_every":"off"}');

  await client.get("/api/v1/codes/{code}", { path: { code: "12/3?" }, query: { tz: "Asia/Shanghai" } as never });
  expect(sent[1]?.url).toBe("https://goods.example/api/v1/codes/12%2F3%3F?tz=Asia%2FShanghai");
  expect(sent[1]?.init.headers["Idempotency-Key"]).toBeUndefined();
});

test("a change keeps its name until its answer is known", async () => {
  const { client, sent } = peer(lost, down, ok({ brand_id: 1 }));
  await client.post("/api/v1/brands", { body: { name: "A" } });
  const names = sent.map((s) => s.init.headers["Idempotency-Key"]);
  expect(names).toHaveLength(3);
  expect(new Set(names).size).toBe(1);
  await client.post("/api/v1/brands", { body: { name: "A" } });
  expect(sent[3]?.init.headers["Idempotency-Key"]).not.toBe(names[0]);
});

test("what stays away is told", async () => {
  const away = peer(lost);
  await expect(away.client.get("/api/v1/brands")).rejects.toThrow("connection reset");
  expect(away.sent).toHaveLength(3);
});

test("a refusal is not repeated", async () => {
  const { client, sent } = peer(() => Response.json(
    { code: 400, message: "quantity: is 0", error: "quantity.too_small", details: [{ field: "quantity", reason: "is 0" }], data: null },
    { status: 400, headers: { "X-Request-Id": "r1" } }));
  const failure = await client.get("/api/v1/brands").catch((e: unknown) => e);
  expect(failure).toBeInstanceOf(ChopmarkError);
  expect(failure).toMatchObject({ status: 400, error: "quantity.too_small", requestId: "r1", details: [{ field: "quantity" }] });
  expect(sent).toHaveLength(1);
});

test("a page of somebody in between is an error too", async () => {
  const { client } = peer(() => new Response("<h1>bad gateway</h1>", { status: 502 }));
  await expect(client.get("/api/v1/brands")).rejects.toMatchObject({ status: 502, error: "http" });
});

test("a path without its value is refused before anything is sent", async () => {
  const { client, sent } = peer(ok({}));
  await expect(client.get("/api/v1/codes/{code}")).rejects.toThrow("needs code");
  expect(sent).toHaveLength(0);
});
