// The service worker: the scanner opens without a network, with the keys as they were last
// heard. The build fills in which files, and names them.
const cacheName = "scan-" + __VERSION__;
const keys = "/.well-known/chopmark-keys.json";

self.addEventListener("install", (e) => {
  e.waitUntil(caches.open(cacheName).then((c) => c.addAll(__FILES__)).then(() => newest(new Request(keys), "scan-keys")).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (e) => {
  e.waitUntil((async () => {
    const old = (await caches.keys()).filter((n) => n.startsWith("scan-") && n !== cacheName && n !== "scan-keys");
    await Promise.all(old.map((n) => caches.delete(n)));
    await self.clients.claim();
  })());
});

// The newest answer, kept; the kept one where there is no network.
async function newest(request, name) {
  const cache = await caches.open(name);
  try {
    const answer = await fetch(request, { signal: AbortSignal.timeout(3000) });
    if (answer.ok) {
      await cache.put(request.url, answer.clone());
      return answer;
    }
  } catch {} // there is no network
  return (await cache.match(request.url)) ?? Response.error();
}

async function kept(request) {
  const cache = await caches.open(cacheName);
  const had = await cache.match(request, { ignoreSearch: true });
  if (had) return had;
  const answer = await fetch(request);
  if (answer.ok) await cache.put(request.url, answer.clone());
  return answer;
}

// A page names what it has loaded; it is told when that is kept.
self.addEventListener("message", (e) => {
  const files = e.data.filter((p) => p.startsWith("/scan/assets/"));
  e.waitUntil(Promise.allSettled(files.map((p) => kept(new Request(p)))).then(() => e.ports[0]?.postMessage("kept")));
});

self.addEventListener("fetch", (e) => {
  const url = new URL(e.request.url);
  if (e.request.method !== "GET" || url.origin !== location.origin) return;
  if (url.pathname === keys) return e.respondWith(newest(e.request, "scan-keys"));
  if (url.pathname === "/scan/" || url.pathname.startsWith("/scan/assets/")) e.respondWith(kept(e.request));
});
