import { createRouter, createWebHistory, type RouteRecordRaw } from "vue-router";
import { load, session } from "./session.ts";

const page = (name: string, path: string, component: RouteRecordRaw["component"]): RouteRecordRaw => ({ name, path, component } as RouteRecordRaw);

export const router = createRouter({
  history: createWebHistory("/console/"),
  routes: [
    { name: "signin", path: "/signin", component: () => import("./pages/SignIn.vue"), meta: { open: true } },
    page("overview", "/", () => import("./pages/Overview.vue")),
    page("products", "/products", () => import("./pages/Products.vue")),
    page("batches", "/batches", () => import("./pages/Batches.vue")),
    page("batch", "/batches/:id", () => import("./pages/Batch.vue")),
    page("codes", "/codes", () => import("./pages/Codes.vue")),
    page("code", "/codes/:code", () => import("./pages/Code.vue")),
    page("trace", "/trace", () => import("./pages/Trace.vue")),
    page("complaints", "/complaints", () => import("./pages/Complaints.vue")),
    page("connections", "/connections", () => import("./pages/Connections.vue")),
    page("subscriptions", "/subscriptions", () => import("./pages/Subscriptions.vue")),
    page("tasks", "/tasks", () => import("./pages/Tasks.vue")),
    page("events", "/events", () => import("./pages/Events.vue")),
    page("log", "/log", () => import("./pages/Log.vue")),
    page("newbatch", "/new-batch", () => import("./pages/NewBatch.vue")),
    page("tenants", "/tenants", () => import("./pages/Tenants.vue")),
    page("users", "/users", () => import("./pages/Users.vue")),
    page("keys", "/keys", () => import("./pages/Keys.vue")),
    page("approvals", "/approvals", () => import("./pages/Approvals.vue")),
    page("audit", "/audit", () => import("./pages/Audit.vue")),
    page("deadletters", "/dead-letters", () => import("./pages/DeadLetters.vue")),
    page("health", "/health", () => import("./pages/Health.vue")),
    page("settings", "/brands/:id/settings", () => import("./pages/Settings.vue")),
    page("me", "/me", () => import("./pages/Me.vue")),
    { path: "/:rest(.*)*", redirect: "/" },
  ],
});

router.beforeEach(async (to) => {
  // Links of invitations and of the first start carry their token behind the #.
  if (/^#\/\w+\?/.test(to.hash) && !to.meta.open) return { name: "signin", hash: to.hash };
  if (to.meta.open) return true;
  const page = to.matched.at(-1)?.components?.default;
  if (typeof page === "function" && !session.me) void (page as () => Promise<unknown>)().catch(() => undefined); // it comes while we ask who is signed in
  if (!session.me && !(await load())) return { name: "signin", query: { next: to.fullPath } };
  return session.me?.enroll_first && to.name !== "me" ? { name: "me" } : true;
});
