import type { Words } from "./index.ts";

const en: Words = {
  skip: "Skip to content", menu: "Menu", again: "Try again", more: "Load more", requestId: "Request", signOut: "Sign out", otherLanguage: "中文", dark: "Dark",
  save: "Save", cancel: "Cancel", close: "Close", search: "Find", copy: "Copy", copied: "Copied", reason: "Reason", reasonHint: "Goes into the history and cannot be changed later", none: "none", all: "all", loading: "Loading…", refresh: "Refresh", name: "Name", number: "Number", created: "Created", edit: "Edit", add: "Add", remove: "Remove", next: "Next", yes: "yes", no: "no", saved: "Saved", days: "{n} days",
  nav: {
    goods: "Goods", people: "People", system: "System", overview: "Overview", products: "Brands and products", batches: "Batches", codes: "Codes", events: "Events", log: "Transparency log",
    users: "Users and roles", keys: "API keys", approvals: "Approvals", audit: "Audit log", deadletters: "Dead letters", health: "Health", me: "My account", settings: "Brand settings", tenants: "Tenants", tasks: "Tasks", trace: "Trace explorer", complaints: "Complaints", connections: "Connections", subscriptions: "Subscriptions",
  },
  status: {
    offline: "The server cannot be reached", offlineHint: "Check the network and try again. A change without an answer is sent under the same name, so it takes effect once.",
    400: "Something that was sent is not right; correct what is named below.", 401: "You are signed out; sign in again.", 403: "Your role does not allow this; ask an administrator.", 404: "It does not exist, or is not one of your brands'.", 409: "The present state does not allow this; refresh and look again.", 413: "Too much at once; send it in parts.",
    422: "This name was used for another change; send it anew.", 429: "Too many requests; wait a moment.", 500: "Something failed inside; give the request's number to your administrator.", 503: "Not available for the moment; it comes back by itself.",
  },
  errors: {
    signin_second_factor: "Give the code of your authenticator, a recovery code, or use a passkey.", signin_too_fast: "Wait before you try again; each failure makes the wait longer.", signin_busy: "Too many people sign in at this moment; try again soon.", auth_second_factor_needed: "Administrators first set up an authenticator or a passkey under My account.",
    link_unknown: "The link is wrong, used or expired; ask an administrator for another.", signin_unknown: "The link is wrong, used or expired; chopmark sign-in on the server makes a new one.", totp_wrong: "Wait for the next code, and check your phone's clock.", password_wrong: "Type the password that you use now.", approval_same_person: "Another person has to approve.",
    user_exists: "Choose another login.", user_last_admin: "Make another administrator first.", role_used: "Give who has it another role first.", key_last: "Make another administrator's key first.", tenant_codes_used_up: "Today's quota is used up; try tomorrow, or ask for a larger one.", passkey_no_domain: "Passkeys need a domain name: start with --public-url https://NAME.", item_unknown: "There is no such code among your brands'; check the 18 digits.", code_unknown: "There is no such code among your brands'; check the 18 digits.",
    batch_exists: "A product has each batch number once; choose another.", batch_exhausted: "No unclaimed codes are left in this batch; make a new one.", approval_required: "It is above the limit: it waits for the approval of a second person.",
    signin_refused: "Login, password or code is not right. After several failures you have to wait.", signin_needs_https: "Open this page over HTTPS.",
  },
  signin: {
    title: "Sign in", login: "Login", password: "Password", code: "Code of your authenticator", recovery: "Recovery code", useRecovery: "Use a recovery code", useCode: "Use the authenticator", submit: "Sign in", passkey: "Use a passkey", provider: "Sign in with your organisation", first: "Make the first administrator", firstHint: "This link works once.",
    accept: "Set your password", acceptHint: "At least 10 characters; a sentence is fine.", name: "Name", email: "Mail", done: "The password is set; sign in.",
    ended: { replaced: "You signed in on another device; this one is signed out.", forced: "This session was ended; sign in again.", password_changed: "The password was changed; sign in again.", account_changed: "Your role or rights were changed; sign in again.", disabled: "This account is disabled; ask an administrator.", erased: "This account is gone.", signed_out: "You are signed out.", expired: "The session has ended; sign in again." },
  },
  state: {
    encoded: "encoded", inactive: "inactive", active: "active", in_progress: "in progress", in_transit: "in transit", sellable_accessible: "on sale",
    sellable_not_accessible: "in the shop's store", retail_sold: "sold", dispensed: "dispensed", returned: "returned", recalled: "recalled",
    stolen: "stolen", damaged: "damaged", no_pedigree_match: "papers do not match", destroyed: "destroyed", disposed: "disposed of", expired: "expired",
    void: "void", reissued: "reissued", inner_code_checked: "inner code checked", pending: "pending", approved: "approved", done: "done",
    open: "open", closed: "closed", queued: "queued", running: "running", failed: "failed",
    rejected: "rejected", invited: "invited", disabled: "disabled", erased: "erased",
  },
  verdict: {
    inactive: "inactive", authentic: "authentic, first scan", authentic_again: "authentic, again", sold: "authentic, sold", suspicious: "suspicious",
    consumed: "inner code used", recalled: "recalled", void: "void", expired: "expired", superseded: "superseded label", unconfirmed: "unconfirmed",
  },
  role: {
    admin: "Administrator", operator: "Operator", dealer: "Dealer", auditor: "Auditor", machine: "Machine",
  },
  overview: {
    hint: "What is scanned now, and what needs you", now: "Scans, last minute", day: "Scans, 24 hours", items: "First scans, 24 hours",
    doubted: "Doubtful, 24 hours", perMinute: "Scans per minute", lag: "{s} s behind, {n} records waiting", verdicts: "Verdicts",
    top: "Most scanned products", provinces: "Provinces", none: "No scans in 24 hours.", unknownPlace: "place not known",
  },
  find: {
    title: "Search", placeholder: "Products, batches, places, events", hint: "Any part of a name, number or identifier; several words narrow it. The arrow keys choose, Enter opens.",
    none: "Nothing has “{q}”. Try a shorter word, or part of a number.", filling: "The index is being filled: some things may be missing for a while.", count: "{n} found",
    kinds: { product: "Products", batch: "Batches", place: "Places", event: "EPCIS events" },
  },
  guide: {
    title: "Your first batch", brand: "Make a brand", brandHint: "Goods belong to a brand", product: "Make a product",
    productHint: "Its name and texts are on the scan page", batch: "Issue a batch", batchHint: "One code to ten billion at once",
    file: "Download, activate, scan", fileHint: "Give the file to the printer; after activation scans are authentic",
  },
  products: {
    hint: "Names and texts are what consumers read on the scan page", brands: "Brands", products: "Products", brand: "Brand", newBrand: "New brand",
    newProduct: "New product", editBrand: "Edit the brand", editProduct: "Edit the product", noBrand: "No brands yet",
    noBrandHint: "Make a brand first, then products under it.", noProduct: "No products yet",
    noProductHint: "A product belongs to a brand, a batch to a product.", nameHint: "Consumers see it", gtinHint: "8, 12, 13 or 14 digits; may stay empty",
    description: "Description", help: "Where to ask", helpHint: "A telephone number or a web address",
  },
  batches: {
    hint: "A batch is one run of codes", new: "Issue a batch", newHint: "Codes are computed when they are needed: any size is issued at once",
    no: "Batch number", noHint: "Once for each product", product: "Product", quantity: "Quantity", quantityHint: "1 to 10,000,000,000", states: "States",
    none: "No batches yet", noneHint: "Issue one, then download its codes, print and activate.", noProduct: "No products yet",
    noProductHint: "A batch belongs to a product; make one first.", mark: "Mark", print: "Printed: the link stays",
    display: "On a display: the link may change", rotate: "Link changes", rotateHint: "Screenshots stop working after a change", never: "never",
    inner: "Inner code under a scratch layer or cap", produced: "Production date", expires: "Expires",
    expiresHint: "Scans answer “expired” after it; may stay empty", description: "Remarks", issue: "Issue {n} codes", label: "Label preview",
    labelHint: "A sample, no real code. Labels as PDF can be exported after issuing.", scratch: "scratch here", signature: "Labels are signed", signatureHint: "Scanner apps can verify them offline; for printed labels",
    every: {
      "1m": "minute", "1h": "hour", "24h": "day", "168h": "week",
    },
  },
  batch: {
    unclaimedToo: "Unclaimed codes too",
    counts: "States of {n} items", files: "Files", codes: "The {n} codes claimed", claim: "Claim codes",
    claimHint: "Takes a run of unclaimed codes for a line or a printer. Up to 10,000 are shown, more are written to a file.", claimSubmit: "Claim {n}",
    claimant: "Claimant", claims: "Claims", noClaims: "No claims", noClaimsHint: "Exporting the whole batch needs none.", numbers: "Numbers",
    unclaimed: "Unclaimed", export: "Export a file", exportSubmit: "Export {n} codes", format: "Format", labels: "Labels as PDF", layout: "Layout",
    secret: "Who has the file can print the goods' marks: keep it safe.",
  },
  task: {
    queued: "Queued", running: "At work", done: "Finished", failed: "Failed", download: "Download", progress: "Progress", file: "File",
  },
  change: {
    title: "Change the state", to: "To", from: "From number", until: "To number", place: "Place", submit: "Make {n} item “{to}” | Make {n} items “{to}”",
    grave: "This touches {n} item, consumers see it at once, and it is hard to take back. | This touches {n} items, consumers see it at once, and it is hard to take back.", done: "{n} item changed | {n} items changed",
    rest: "{same} were so already, {refused} refused", refused: "What was refused", waits: "The change of {n} items waits for a second person",
    approvals: "Look at approvals",
  },
  codes: {
    hint: "Type, paste or scan a code; a whole link is fine", code: "Code", placeholder: "18 digits or a link",
    noCode: "There are no 18 digits in it; check and try again.", many: "Change many", list: "List of codes",
    listHint: "One a line, CSV or links; at most 100,000 at once", file: "Or choose a file", found: "{n} codes found", show: "Show", scanned: "scanned",
    state: "State", scans: "Scans", last: "Last scan", where: "Place", none: "No such codes",
    noneHint: "Only codes that were scanned or changed are listed.",
  },
  code: {
    version: "Label version", reissue: "Reissue the label", reissueHint: "The old label stops working at once; scans of it answer “superseded”.",
    qr: "QR code", until: "This link lasts until {at}", scans: "Scans", changes: "Changes", noScans: "Not scanned yet.", noChanges: "No changes.",
    first: "first", far: "far from the scan before", over: "Scans and changes over time", map: "Places of scans", innerUnused: "not used", story: "Its journey", loading: "A system has not answered yet…", unavailable: "A system cannot be asked at the moment.", undo: "Undo", undoHint: "Takes back the change to “{state}”; the item gets its state of before.", undoWhole: "Of all items that the change moved",
  },
  me: {
    enroll: "Set up a second factor first", enrollHint: "Administrators need an authenticator or a passkey; other pages open after it.",
    recoveryCodes: "Recovery codes", recoveryHint: "Each works once, and they are shown only now. Write them down or keep them safe.",
    kept: "I have kept them", language: "Language", signin: "Signing in", change: "Change", totp: "Authenticator", on: "on", off: "off", setUp: "Set up",
    left: "{n} left", renew: "Renew", passkeys: "Passkeys", sessions: "Signed-in devices", this: "this device", end: "End", present: "Present password",
    fresh: "New password", scan: "Scan it with your authenticator or type the secret, then give its code.",
    ask: {
      password: "Change the password", totp: "Set up an authenticator", dropTotp: "Remove the authenticator", recovery: "Renew recovery codes",
      passkey: "Add a passkey", dropPasskey: "Remove the passkey",
    },
  },
  users: {
    hint: "Who may sign in, and what they may do", invite: "Invite", link: "The link",
    linkHint: "Give it to the person; it works once and is shown only now.", find: "Login, mail or phone, complete", role: "Role", tenant: "Tenant",
    second: "Second factor", none: "No users", noneHint: "A search needs the whole text; names and addresses are masked.", reset: "Reset",
    end: "End sessions", erase: "Erase", roles: "Roles", newRole: "New role", permissions: "{n} permissions", phone: "Phone",
    disabled: "Disable the account", resetHint: "Makes a link by which the person sets a new password.",
    factors: "Remove authenticator, passkeys and recovery codes too", endHint: "All of the person's devices are signed out within a second.",
    eraseHint: "Removes the person for good; only the id stays in histories.", eraseType: "Type {id} to confirm", may: "May", brands: "Brands",
    brandsHint: "None chosen: all of the tenant's",
    ask: {
      invite: "Invite somebody", edit: "Edit the user", reset: "Reset the password", end: "End all sessions", erase: "Erase the person", role: "Role",
    },
  },
  keys: {
    never: "never",
    hint: "Programs and lines call the API with a key", make: "Make a key", secret: "The new key", secretHint: "Shown only now: keep it.",
    kept: "I have kept it", used: "Last used", expires: "Expires", none: "No keys", revoked: "revoked {at}", revoke: "Revoke",
    revokeHint: "Programs that use “{name}” lose access at once.", nameHint: "Who uses it, such as Line 3",
  },
  audit: {
    hint: "Every change: who, when, why. Nobody can rewrite it", at: "Time", actor: "Who", action: "Action", none: "No entries", mine: "My tenant",
    asked: "asked", subject: "Subject", ends: "Outcome of", before: "Before", after: "After",
  },
  approvals: {
    hint: "Recalls, voids and destructions above the limit need a second person", what: "Change", by: "Asked by", none: "Nothing to approve",
    move: "{n} item to “{to}” | {n} items to “{to}”", approve: "Approve", reject: "Reject", note: "Note",
  },
  tenants: {
    never: "never",
    hint: "Brands and dealers with their scope and quotas", make: "New tenant", kind: "Kind", perDay: "Codes a day", above: "Second person above",
    unbounded: "no bound", zero: "0 = no bound", aboveHint: "Items; 0 = never", origins: "Origins allowed",
    originsHint: "One a line, such as an https address", disabled: "Disable the tenant",
    kinds: {
      platform: "Platform", brand: "Brand", dealer: "Dealer",
    },
  },
  events: {
    hint: "Batches, state changes and tenants as they happen", live: "Live", waiting: "Connecting…", none: "Waiting for events",
    noneHint: "Issue a batch or change a state: it is here at once.", kind: "Event", raw: "Raw", code_generated: "Codes generated",
    code_state_changed: "State changed", tenant_updated: "Tenant changed", alert_triggered: "Alert", kinds: { batch: "batch", file: "file", claim: "claim", export: "export" },
  },
  alert: {
    illegal_step: "Step that the item cannot take", later_step: "Late event forbids a later step", future_time: "Event in the future",
  },
  log: {
    hint: "A log of batches and changes that nobody can rewrite unseen", origin: "Origin", size: "Entries", root: "Root", key: "Public key",
    note: "Signed head", verify: "Verify in the browser", verifyHint: "needs no sign-in",
  },
  letters: {
    hint: "Messages that failed again and again, kept aside", group: "Group", replay: "Try all again", replayed: "Consumed {n}", discard: "Discard {n}",
    discardHint: "They are gone for good, and their scans are not in the records.", none: "No dead letters", noneHint: "Everything was consumed.",
    tries: "Tries", bytes: "Bytes",
  },
  health: {
    hint: "Updated every 5 seconds", well: "All is well", look: "Something needs you", ready: "Ready", lag: "Statistics behind by",
    behind: "Records waiting", newest: "Newest scan", letters: "Dead letters, records", lettersStats: "Dead letters, statistics",
    metrics: "More is at /metrics for Prometheus.",
  },
  tasks: {
    hint: "Files being written and data being imported; they go on after a restart", kind: "Task", batch: "Batch", by: "Asked by", none: "No tasks", noneHint: "Exports, large claims and uploads are here.",
    kinds: { generate: "Issue and write", export: "Export a file", trace_import: "Import data" },
  },
  steps: { commissioning: "commissioning", inspecting: "inspecting", sampling: "sampling", packing: "packing", unpacking: "unpacking", repackaging: "repackaging", shipping: "shipping", departing: "departing", arriving: "arriving", receiving: "receiving", storing: "storing", loading: "loading", unloading: "unloading", transporting: "transporting", accepting: "accepting", picking: "picking", stocking: "stocking", retail_selling: "retail selling", dispensing: "dispensing", holding: "holding", destroying: "destroying", decommissioning: "decommissioning", returning: "returning", sensor_reporting: "sensor reporting", encoding: "encoding", void_shipping: "void shipping" },
  facts: { batch_no: "Batch", production_date: "Made on", state: "State", step: "Step", reason: "Reason", undoes: "Takes back", in: "Packed in", source: "Source", raw_materials: "Made of", quality_grade: "Grade", inspector: "Inspected by", carrier: "Carrier", tracking_no: "Tracking no.", temperature: "Temperature", seller: "Sold by" },
  stage: { production: "Production", processing: "Processing", logistics: "Logistics", sales: "Sales", quality: "Quality" },
  trace: {
    hint: "EPCIS events, what is in what, and the way of goods", epc: "EPC or Digital Link; a * at the end finds by its beginning", capture: "Send events", filters: "More filters", type: "Type", step: "Business step", disposition: "Disposition", place: "Place", event: "Event's ID", from: "From", to: "To", order: "Order", eventTime: "Happened", recordTime: "Recorded", goods: "Goods", events: "Events",
    none: "No such events", noneHint: "Send a document, or have a system send them to /epcis/capture.", contained: "What is in what", asOf: "As of {at}", slider: "As of", since: "since {at}", holds: "holds {n} items",
    send: "Send", document: "EPCIS document", documentHint: "JSON or XML, at most 32 MB and 10,000 events", proceed: "Keep the good events when others are refused", taken: "All events were taken", refused: "Events were refused",
    results: { accepted: "accepted", duplicate: "known already", rejected: "rejected", not_stored: "not stored" }, reports: "Reports as CSV", flow: "Flow of goods", complete: "Completeness of traces",
    types: { ObjectEvent: "Objects", AggregationEvent: "Packing", TransactionEvent: "Transaction", TransformationEvent: "Transformation", AssociationEvent: "Association" },
  },
  complaints: {
    hint: "What people say of goods that look wrong", text: "What they say", photo: "Photo", none: "No complaints", noneHint: "The scan page lets everybody say that something looks wrong.", one: "Complaint", open: "open", closed: "closed", close: "Close it", outcome: "What came of it",
  },
  connect: {
    hint: "Where events are posted to, and which systems are asked about items", secret: "The secret for signatures", hooks: "Webhooks", newHook: "New webhook", url: "Address", types: "Events", typesHint: "Such as code.generated; none = all", noHooks: "No webhooks", noHooksHint: "A system that you name gets every event of a brand, signed.", hookHint: "An https address; posts are signed as Standard Webhooks are",
    sources: "Data sources", newSource: "New source", noSources: "No data sources", noSourcesHint: "Connect an MES, WMS or ERP: what it knows is shown in the journey of an item.", sourceHint: "https:// or grpcs://host:port", token: "Token", tokenHint: "Sent as a bearer; never shown again. Empty: it stays as it is", enabled: "It is asked", test: "Test", answers: "It answers, in {ms} ms", fails: "It does not answer well", dropHint: "Nothing is sent or asked any more; what came stays.",
    kinds: { MES: "MES, a factory's", WMS: "WMS, a warehouse's", ERP: "ERP, an office's" },
    ask: { hook: "New webhook", source: "New source", edit: "Edit the source", test: "Test with a code", drop: "Remove the source", dropHook: "Remove the webhook" },
  },
  subscribe: {
    hint: "Kept EPCIS queries, and where what they find is sent", newQuery: "Keep a query", add: "Subscribe", none: "No kept queries", noneHint: "Keep a query, then have a system subscribe to it.", noSubscriptions: "Nobody is subscribed to it.",
    dest: "Sent to", destHint: "An https address that takes EPCIS documents", when: "When", delivered: "Last delivery", until: "Looked at until {at}", never: "nothing yet", stream: "as they come", hour: "every hour", day: "every day", own: "by a schedule of one's own", schedule: "by schedule: {what}",
    scheduleHint: "UTC. Numbers, lists, ranges such as [8-17], steps such as 0/15; empty: any", token: "Secret of the signature", tokenHint: "Documents are signed with it (GS1-Signature, HMAC-SHA-256). Copy it now: it is not shown again",
    since: "Events recorded since", sinceHint: "Empty: from now on", empty: "Send a document also when nothing was found", more: "More parameters", notObject: "It must be one JSON object, such as {example}", badJSON: "The further parameters are not valid JSON", badJSONAt: "Line {line}, character {column} is wrong: correct it and save again.", lastReason: "why, of one of them: {why}", moreHint: "JSON as EPCIS has it, such as {example}", letters: "What could not be delivered",
    dropHint: "“{name}” and its {n} subscriptions end; nothing more is sent.", endHint: "Nothing more is sent to {dest}.",
    fields: { second: "Second", minute: "Minute", hour: "Hour", dayOfMonth: "Day of month", month: "Month", dayOfWeek: "Day of week, 1 = Monday" },
    ask: { query: "Keep a query", subscribe: "Subscribe", drop: "Remove the query", end: "End the subscription" },
  },
  settings: {
    page: "Scan page", logo: "Logo", logoChoose: "Choose a picture", logoOther: "Choose another", logoHint: "PNG, JPEG or WebP, at most 256 KB; shown on the scan page at once", nameHint: "On the scan page", hidePlaces: "Show no places on the scan page and in the public timeline", texts: "The texts of the scan page are edited with each product.",
    privacy: "Privacy and limits", days: "Days that IP addresses of scans are kept", daysHint: "0 to 365; 0 keeps none", misses: "Wrong codes from one IP address an hour", missesHint: "Beyond it, it is made to wait; 0 = default",
    timeline: "Public timeline", timelineHint: "Who is signed in for the brand sees everything.", hide: "Hide", hideHint: "Stages (logistics), keys (carrier, location) or both (logistics.carrier), separated by spaces", show: "Show beyond the usual", showHint: "Keys of details, separated by spaces", usualMask: "Mask names as usual (inspector)", mask: "Keys whose names are masked", maskHint: "Separated by spaces; none = nothing is masked",
    links: "Where links may lead", linksHint: "It counts at once, also for links that are there.", hosts: "Hosts", hostsHint: "One a line, such as brand.example or *.brand.example", http: "Plain http too", glnHint: "13 digits; answers for verifications, may stay empty",
  },
};
export default en;
