import type { paths } from "./schema.ts";

/** An answer that was not a success. `error` is stable and for programs, `message` is for people. */
export class ChopmarkError extends Error {
  constructor(
    readonly status: number,
    readonly error: string,
    message: string,
    readonly details: readonly { field: string; reason: string }[] = [],
    readonly requestId = "",
    /** Seconds to wait before the next try; 0 when the server did not say. */
    readonly retryAfter = 0,
  ) {
    super(message);
    this.name = "ChopmarkError";
  }
}

type Verb = "get" | "post" | "put" | "patch" | "delete";
type PathsWith<V extends Verb> = { [P in keyof paths]: paths[P] extends Record<V, object> ? P : never }[keyof paths];
type Operation<V extends Verb, P> = P extends keyof paths ? (paths[P] extends Record<V, infer O> ? O : never) : never;
type JSONOf<R> = R extends { content: { "application/json": infer B } } ? B : never;
type Ok<O> = O extends { responses: { 200: infer R } } ? JSONOf<R> : never;

/** What a route answers: the `data` of its envelope, or the whole body where it has none. */
export type Data<V extends Verb, P> = Ok<Operation<V, P>> extends { data: infer D } ? D : Ok<Operation<V, P>>;
/** What a route takes in its body. */
export type Body<V extends Verb, P> = Operation<V, P> extends { requestBody?: infer B } ? JSONOf<NonNullable<B>> : never;
type Query<V extends Verb, P> = Operation<V, P> extends { parameters: { query?: infer Q } } ? NonNullable<Q> : never;
type Path<V extends Verb, P> = Operation<V, P> extends { parameters: { path: infer Q } } ? Q : never;

export interface Options<V extends Verb, P> {
  path?: Path<V, P>;
  query?: Query<V, P>;
  body?: Body<V, P>;
  /** The name of this change. Without one it gets a random name; give one to repeat a change of an earlier run. */
  idempotencyKey?: string;
  signal?: AbortSignal;
}

export interface Settings {
  /** Where the server is, such as https://goods.example; "" = where the page came from. */
  baseURL?: string;
  /** An API key. Without one the browser's session cookie speaks. */
  key?: string;
  /** "zh" or "en": the language of messages. */
  language?: string;
  fetch?: typeof fetch;
  /** How often a request is sent at most when its answer does not come, or is 502, 503 or 504. */
  tries?: number;
  /** Waits between tries; tests replace it. */
  sleep?: (milliseconds: number) => Promise<void>;
}

const pauseMillis = 250;

/**
 * Client speaks to a Chopmark server. Each change is sent under one idempotency key, also when it is sent again: a
 * lost answer is not a lost change, and a repeat is not a second one.
 */
export class Client {
  readonly #s: Required<Omit<Settings, "key" | "language">> & Pick<Settings, "key" | "language">;

  constructor(settings: Settings = {}) {
    this.#s = {
      baseURL: "", tries: 3, sleep: (ms) => new Promise((done) => setTimeout(done, ms)),
      fetch: (...args) => globalThis.fetch(...args), ...settings,
    };
  }

  get<P extends PathsWith<"get">>(path: P, o: Options<"get", P> = {}): Promise<Data<"get", P>> {
    return this.#call("GET", path as string, o as Loose) as Promise<Data<"get", P>>;
  }

  post<P extends PathsWith<"post">>(path: P, o: Options<"post", P> = {}): Promise<Data<"post", P>> {
    return this.#call("POST", path as string, o as Loose) as Promise<Data<"post", P>>;
  }

  put<P extends PathsWith<"put">>(path: P, o: Options<"put", P> = {}): Promise<Data<"put", P>> {
    return this.#call("PUT", path as string, o as Loose) as Promise<Data<"put", P>>;
  }

  patch<P extends PathsWith<"patch">>(path: P, o: Options<"patch", P> = {}): Promise<Data<"patch", P>> {
    return this.#call("PATCH", path as string, o as Loose) as Promise<Data<"patch", P>>;
  }

  delete<P extends PathsWith<"delete">>(path: P, o: Options<"delete", P> = {}): Promise<Data<"delete", P>> {
    return this.#call("DELETE", path as string, o as Loose) as Promise<Data<"delete", P>>;
  }

  async #call(method: string, path: string, o: Loose): Promise<unknown> {
    const headers: Record<string, string> = { Accept: "application/json" };
    if (this.#s.key) headers.Authorization = `Bearer ${this.#s.key}`;
    if (this.#s.language) headers["Accept-Language"] = this.#s.language;
    if (method !== "GET") headers["Idempotency-Key"] = o.idempotencyKey ?? crypto.randomUUID();
    const init: RequestInit = { method, headers, credentials: "same-origin" };
    if (o.body !== undefined) {
      headers["Content-Type"] = "application/json";
      init.body = JSON.stringify(o.body);
    }
    if (o.signal) init.signal = o.signal;
    const url = this.#s.baseURL + fill(path, o.path) + search(o.query);
    for (let attempt = 1; ; attempt++) {
      const last = attempt >= this.#s.tries;
      let answer: Response;
      try {
        answer = await this.#s.fetch(url, init);
      } catch (cause) {
        if (last || o.signal?.aborted) throw cause;
        await this.#s.sleep(pauseMillis * 2 ** (attempt - 1));
        continue;
      }
      if (answer.ok) return unwrap(await answer.json());
      const failure = await failed(answer);
      if (last || ![502, 503, 504].includes(answer.status)) throw failure;
      await this.#s.sleep(Math.max(failure.retryAfter * 1000, pauseMillis * 2 ** (attempt - 1)));
    }
  }
}

interface Loose {
  path?: Record<string, string | number>;
  query?: Record<string, string | number | boolean | undefined>;
  body?: unknown;
  idempotencyKey?: string;
  signal?: AbortSignal;
}

function fill(path: string, values: Loose["path"]): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values?.[name];
    if (value === undefined) throw new TypeError(`${path} needs ${name}`);
    return encodeURIComponent(String(value));
  });
}

function search(query: Loose["query"]): string {
  const given = Object.entries(query ?? {}).filter(([, v]) => v !== undefined && v !== "");
  return given.length ? "?" + new URLSearchParams(given.map(([k, v]) => [k, String(v)])).toString() : "";
}

function unwrap(body: unknown): unknown {
  return typeof body === "object" && body !== null && "data" in body ? body.data : body;
}

async function failed(answer: Response): Promise<ChopmarkError> {
  let body: { error?: string; message?: string; title?: string; details?: { field: string; reason: string }[] } = {};
  try {
    body = (await answer.json()) as typeof body;
  } catch {
    // Not ours: a proxy's page. The status tells.
  }
  return new ChopmarkError(
    answer.status, body.error ?? "http", body.message ?? body.title ?? `HTTP ${answer.status}`, body.details ?? [],
    answer.headers.get("X-Request-Id") ?? "", Number(answer.headers.get("Retry-After") ?? 0) || 0,
  );
}
