import type { Words } from "./index.ts";

const en: Words = {
  skip: "Skip to content", menu: "Menu", again: "Try again", more: "Load more", requestId: "Request", signOut: "Sign out", otherLanguage: "中文", dark: "Dark",
  save: "Save", cancel: "Cancel", close: "Close", search: "Find", copy: "Copy", copied: "Copied", reason: "Reason", reasonHint: "Goes into the history and cannot be changed later", none: "none", all: "all", loading: "Loading…", refresh: "Refresh",
  nav: {
    goods: "Goods", people: "People", system: "System", overview: "Overview", products: "Brands and products", batches: "Batches", codes: "Codes", events: "Events", log: "Transparency log",
    users: "Users and roles", keys: "API keys", approvals: "Approvals", audit: "Audit log", deadletters: "Dead letters", health: "Health", me: "My account", settings: "Brand settings",
  },
  status: {
    offline: "The server cannot be reached", offlineHint: "Check the network and try again. A change without an answer is sent under the same name, so it takes effect once.",
    401: "You are signed out; sign in again.", 403: "Your role does not allow this; ask an administrator.", 404: "It does not exist, or is not one of your brands'.", 409: "The present state does not allow this; refresh and look again.", 413: "Too much at once; send it in parts.",
    422: "This name was used for another change; send it anew.", 429: "Too many requests; wait a moment.", 500: "Something failed inside; give the request's number to your administrator.", 503: "Not available for the moment; it comes back by itself.",
  },
  errors: {
    batch_exists: "A product has each batch number once; choose another.", batch_exhausted: "No unclaimed codes are left in this batch; make a new one.", approval_required: "It is above the limit: it waits for the approval of a second person.",
    signin_refused: "Login, password or code is not right. After several failures you have to wait.", signin_needs_https: "Open this page over HTTPS.",
  },
  signin: {
    title: "Sign in", login: "Login", password: "Password", code: "Code of your authenticator", recovery: "Recovery code", useRecovery: "Use a recovery code", submit: "Sign in", passkey: "Use a passkey", first: "Make the first administrator", firstHint: "This link works once.",
    accept: "Set your password", acceptHint: "At least 12 characters; a sentence is fine.", name: "Name", email: "Mail", done: "The password is set; sign in.",
    ended: { replaced: "You signed in on another device; this one is signed out.", forced: "An administrator ended this session.", password: "The password was changed; sign in again.", role: "Your role was changed; sign in again.", disabled: "This account is disabled.", expired: "The session has ended; sign in again." },
  },
};
export default en;
