package app

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

const matrixAdminKey = "the-administrator-of-the-matrix-0123456789"

// visit is how the matrix asks a route: {name} in path and body is the object's.
type visit struct {
	query, body string
	want        int    // of who may, for an own object; 0 = 200
	free        bool   // names no object: what it shows is the caller's own
	path        string // what is asked, where the pattern's holes are no objects; "" = the pattern
	brand       bool   // names the object's brand in X-Brand-ID
}

// visits has a line for each authorised route. TestMatrix fails for a route without one.
func visits() map[string]visit {
	free := visit{free: true}
	return map[string]visit{
		"GET /api/v1/brands":                                        free,
		"POST /api/v1/brands":                                       {body: `{"name":"made"}`, free: true},
		"GET /api/v1/brands/{brand_id}":                             {},
		"PATCH /api/v1/brands/{brand_id}":                           {body: `{"name":"renamed"}`},
		"GET /api/v1/products":                                      {query: "?brand_id={brand_id}"},
		"POST /api/v1/products":                                     {body: `{"brand_id":{brand_id},"name":"p"}`},
		"GET /api/v1/products/{product_id}":                         {},
		"PATCH /api/v1/products/{product_id}":                       {body: `{"name":"renamed"}`},
		"POST /api/v1/products/{product_id}/claims":                 {body: `{"quantity":1,"claimant":"line"}`},
		"POST /api/v1/codes/generate":                               {body: `{"brand_id":{brand_id},"product_id":{product_id},"batch_no":"{unique}","quantity":1}`},
		"GET /api/v1/tasks":                                         free,
		"GET /api/v1/tasks/{task_id}":                               {},
		"POST /api/v1/batches":                                      {body: `{"product_id":{product_id},"batch_no":"{unique}","quantity":1}`},
		"GET /api/v1/batches":                                       {query: "?product_id={product_id}"},
		"GET /api/v1/batches/{batch_id}":                            {},
		"POST /api/v1/batches/{batch_id}/claims":                    {body: `{"quantity":1,"claimant":"line"}`},
		"GET /api/v1/batches/{batch_id}/claims":                     {},
		"POST /api/v1/batches/{batch_id}/claims/{claim_id}/return":  {body: `{"from_no":1}`, want: 409}, // its codes were moved
		"POST /api/v1/batches/{batch_id}/export":                    {body: `{"unclaimed":false}`},
		"POST /api/v1/codes/state":                                  {body: `{"select":{"batch_id":"{batch_id}","from_no":1,"to_no":1},"to":"active","reason":"matrix"}`},
		"GET /api/v1/codes/{code}":                                  {},
		"GET /api/v1/codes/{code}/changes":                          {},
		"GET /api/v1/codes/{code}/link":                             {},
		"POST /api/v1/codes/{code}/reissue":                         {body: `{"reason":"matrix"}`},
		"GET /api/v1/codes":                                         {query: "?brand_id={brand_id}"},
		"GET /api/v1/codes/{code}/scans":                            {},
		"GET /api/v1/scan-stats":                                    {query: "?brand_id={brand_id}"},
		"GET /api/v1/scan-stats/top":                                {query: "?of=products&brand_id={brand_id}"},
		"GET /api/v1/brands/{brand_id}/scan-policy":                 {},
		"GET /api/v1/brands/{brand_id}/settings":                    {},
		"PATCH /api/v1/brands/{brand_id}/settings":                  {body: `{"page":{"hide_places":true}}`},
		"PUT /api/v1/brands/{brand_id}/logo":                        {body: `{"image":"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}`},
		"GET /api/v1/brands/{brand_id}/places":                      {},
		"PATCH /api/v1/brands/{brand_id}/places":                    {body: `{"set":[{"id":"urn:place:1","name":"Shop"}]}`},
		"GET /api/v1/reports/trace-flow":                            {query: "?brand_id={brand_id}"},
		"GET /api/v1/reports/trace-completeness":                    {query: "?brand_id={brand_id}"},
		"GET /api/v1/brands/{brand_id}/origins":                     {},
		"POST /api/v1/brands/{brand_id}/origins":                    {body: `{"origins":["https://shop.example"]}`},
		"POST /api/v1/brands/{brand_id}/scan-policy":                {body: `{"ip_days":1}`},
		"GET /api/v1/events":                                        free,
		"GET /api/v1/search":                                        {query: "?q=p&brand_id={brand_id}"},
		"GET /api/v1/dead-letters":                                  {query: "?group=scan-records", free: true},
		"POST /api/v1/dead-letters/replay":                          {body: `{}`, want: 400, free: true},
		"POST /api/v1/dead-letters/discard":                         {body: `{}`, want: 400, free: true},
		"POST /api/v1/backup":                                       {body: `{}`, want: 400, free: true},
		"GET /api/v1/tenants":                                       free,
		"POST /api/v1/tenants":                                      {body: `{"name":"t","kind":"dealer"}`, free: true},
		"GET /api/v1/tenants/{tenant_id}":                           {},
		"PATCH /api/v1/tenants/{tenant_id}":                         {body: `{"name":"renamed"}`},
		"POST /api/v1/tenants/{tenant_id}/brands":                   {body: `{"brand_id":{brand_id}}`},
		"POST /api/v1/tenants/{tenant_id}/brands/{brand_id}/remove": {},
		"GET /api/v1/roles":                                         free,
		"POST /api/v1/roles":                                        {body: `{"name":"{unique}","permissions":["code:read"]}`, free: true},
		"PATCH /api/v1/roles/{role_id}":                             {body: `{"permissions":["code:read"]}`},
		"POST /api/v1/roles/{role_id}/remove":                       {},
		"GET /api/v1/users":                                         {query: "?tenant_id={tenant_id}"},
		"POST /api/v1/users":                                        {body: `{"login":"{unique}","name":"n","role":"auditor","tenant_id":"{tenant_id}"}`},
		"GET /api/v1/users/{user_id}":                               {},
		"PATCH /api/v1/users/{user_id}":                             {body: `{"name":"renamed"}`},
		"POST /api/v1/users/{user_id}/reset":                        {body: `{}`},
		"GET /api/v1/users/{user_id}/sessions":                      {},
		"POST /api/v1/users/{user_id}/sessions/end":                 {},
		"GET /api/v1/users/{user_id}/export":                        {},
		"POST /api/v1/users/{user_id}/erase":                        {},
		"GET /api/v1/keys":                                          free,
		"POST /api/v1/keys":                                         {body: `{"name":"k","role":"auditor","tenant_id":"{tenant_id}"}`},
		"POST /api/v1/keys/{key_id}/revoke":                         {},
		"GET /api/v1/audit":                                         {query: "?tenant_id={tenant_id}"},
		"GET /api/v1/approvals":                                     free,
		"GET /api/v1/approvals/{approval_id}":                       {},
		"POST /api/v1/approvals/{approval_id}/approve":              {body: `{}`, want: 403}, // a key is no second person
		"POST /api/v1/approvals/{approval_id}/reject":               {body: `{}`},
		"GET /api/v1/complaints":                                    {query: "?brand_id={brand_id}"},
		"GET /api/v1/complaints/{complaint_id}":                     {},
		"GET /api/v1/complaints/{complaint_id}/photo":               {want: 404}, // it has none
		"POST /api/v1/complaints/{complaint_id}/close":              {body: `{"outcome":"a misprint"}`},
		"GET /api/v1/log/proof":                                     {query: "?kind=none&subject=none", want: 404, free: true},
		"POST /api/v1/signout":                                      {want: 403, free: true}, // keys have no session
		"GET /api/v1/me":                                            free,
		"GET /api/v1/me/permissions":                                free,
		"POST /api/v1/me/password":                                  {body: `{}`, want: 403, free: true},
		"POST /api/v1/me/totp":                                      {body: `{}`, want: 403, free: true},
		"POST /api/v1/me/totp/confirm":                              {body: `{}`, want: 403, free: true},
		"POST /api/v1/me/totp/remove":                               {body: `{}`, want: 403, free: true},
		"POST /api/v1/me/recovery-codes":                            {body: `{}`, want: 403, free: true},
		"GET /api/v1/me/passkeys":                                   {want: 403, free: true},
		"POST /api/v1/me/passkeys":                                  {body: `{}`, want: 403, free: true},
		"POST /api/v1/me/passkeys/finish":                           {body: `{}`, want: 401, free: true},
		"POST /api/v1/me/passkeys/{passkey_id}/remove":              {body: `{}`, want: 403, free: true},
		"GET /api/v1/me/sessions":                                   {want: 403, free: true},
		"POST /api/v1/me/sessions/{session_id}/end":                 {body: `{}`, want: 403, free: true},
		"GET /api/v1/me/session":                                    {want: 403, free: true},
		"GET /api/v1/openapi.json":                                  free,
		"POST /api/v1/trace-sources":                                {body: `{"brand_id":{brand_id},"kind":"MES","name":"{unique}","url":"https://mes.invalid/"}`},
		"GET /api/v1/trace-sources":                                 {query: "?brand_id={brand_id}"},
		"PATCH /api/v1/trace-sources/{source_id}":                   {body: `{"name":"renamed"}`},
		"POST /api/v1/trace-sources/{source_id}/test":               {body: `{"code":"{code}"}`},
		"POST /api/v1/trace-sources/{source_id}/remove":             {},
		"POST /api/v1/trace-data":                                   {body: `{"brand_id":{brand_id},"data_source":"WMS","rows":[{"code":"{code}","trace_type":"logistics","time":"2026-02-01T08:00:00Z"}]}`},
		"POST /api/v1/trace-data/import":                            {query: "?brand_id={brand_id}", body: `{}`, want: 415}, // what is foreign is 404 before
		"GET /api/v1/trace-data/{code}":                             {},
		"POST /api/v1/containers":                                   {body: `{"brand_id":{brand_id},"kind":"case","gs1_company_prefix":"4012345"}`},
		"GET /api/v1/containers":                                    {query: "?brand_id={brand_id}"},
		"GET /api/v1/containers/{epc}/packing":                      {},
		"POST /api/v1/containers/{epc}/add":                         {body: `{"children":["{code}"]}`},
		"POST /api/v1/containers/{epc}/remove":                      {body: `{"children":["{code}"]}`, want: 409}, // it is closed by then
		"POST /api/v1/containers/{epc}/close":                       {},
		"POST /api/v1/containers/{epc}/discard":                     {want: 409},
	}
}

// epcisVisits are those of GS1's bindings and of containers.
func epcisVisits() map[string]visit {
	const sscc = "urn:epc:id:sscc:4012345.0000000111"
	event := func(id string) string {
		return `{"@context":["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],"type":"ObjectEvent","eventID":"urn:uuid:` + id + `","eventTime":"2026-01-01T00:00:00Z",` +
			`"eventTimeZoneOffset":"+00:00","action":"OBSERVE","bizStep":"inspecting","epcList":["https://example.com/` + id + `"]}`
	}
	own, options := visit{brand: true}, visit{want: http.StatusNoContent, free: true}
	all := map[string]visit{
		"GET /epcis": {free: true}, "GET /epcis/{$}": {free: true, path: "/epcis/"}, "OPTIONS /epcis/{$}": {free: true, want: http.StatusNoContent, path: "/epcis/"},
		"POST /epcis/capture":                                               {body: `{"@context":["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],"type":"EPCISDocument","schemaVersion":"2.0","creationDate":"2026-01-01T00:00:00Z","epcisBody":{"eventList":[]}}`, want: http.StatusAccepted, brand: true},
		"GET /epcis/capture":                                                own,
		"GET /epcis/capture/{captureID}":                                    {},
		"POST /epcis/events":                                                {body: event("{unique}"), want: http.StatusCreated, brand: true},
		"GET /epcis/events":                                                 own,
		"GET /epcis/events/{eventID}":                                       {},
		"POST /epcis/queries":                                               {body: `{"name":"{unique}","query":{"EQ_bizStep":["shipping"]}}`, want: http.StatusCreated, brand: true},
		"GET /epcis/queries":                                                own,
		"GET /epcis/queries/{queryName}":                                    own,
		"GET /epcis/queries/{queryName}/events":                             own,
		"GET /epcis/queries/{queryName}/subscriptions":                      own,
		"POST /epcis/queries/{queryName}/subscriptions":                     {body: `{"dest":"https://erp.example/in","schedule":{"hour":"1"}}`, want: http.StatusCreated, brand: true},
		"GET /epcis/queries/{queryName}/subscriptions/{subscriptionID}":     own,
		"OPTIONS /epcis/queries/{queryName}/subscriptions/{subscriptionID}": {want: http.StatusNoContent, brand: true},
		"DELETE /epcis/queries/{queryName}/subscriptions/{subscriptionID}":  {path: "/epcis/queries/mine/subscriptions/sub_0", want: http.StatusNotFound, brand: true},
		"DELETE /epcis/queries/{queryName}":                                 {path: "/epcis/queries/none", want: http.StatusNotFound, brand: true},
		"DELETE /epcis/nextPageToken/{token}":                               {path: "/epcis/nextPageToken/x", want: http.StatusNotImplemented, free: true},
		"GET /api/v1/containers/{epc}":                                      {path: "/api/v1/containers/" + sscc, brand: true},
	}
	for _, path := range []string{"/capture", "/capture/{captureID}", "/events", "/events/{eventID}", "/queries", "/queries/{queryName}", "/queries/{queryName}/events", "/queries/{queryName}/subscriptions"} {
		all["OPTIONS /epcis"+path] = options
	}
	for name, one := range map[string]string{
		"eventTypes": "ObjectEvent", "epcs": sscc, "bizSteps": "inspecting", "bizLocations": "https:%2F%2Fexample.com%2Fl", "readPoints": "https:%2F%2Fexample.com%2Fr",
		"dispositions": "in_progress",
	} {
		path, member := "/epcis/"+name, "/epcis/"+name+"/"+one
		words := name != "eventTypes"
		all["GET "+path], all["GET "+path+"/{x}"] = visit{brand: words, free: !words}, visit{path: member, brand: words, free: !words}
		all["GET "+path+"/{x}/events"] = visit{path: member + "/events", brand: true}
		for _, below := range []string{"", "/{x}", "/{x}/events"} {
			all["OPTIONS "+path+below] = visit{path: strings.Replace(path+below, "{x}", one, 1), want: http.StatusNoContent, free: true}
		}
	}
	return all
}

// matrix is an installation with two tenants that have everything, and keys of every role
// of the first.
type matrix struct {
	t       *testing.T
	rt      *httpx.Router
	keys    map[identity.Role]string
	doc     *openapi3.T
	objects map[string]map[string]string // own, foreign, absent → name → value
	count   int
}

// said is an answer.
type said struct {
	status int
	error  string
	body   string
}

func (m *matrix) ask(method, path, key, body string) said {
	return m.askFor("", method, path, key, body)
}

// askFor asks about a brand's; "" = it does not say.
func (m *matrix) askFor(brand, method, path, key, body string) said {
	r := httptest.NewRequestWithContext(m.t.Context(), method, "http://matrix.example"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if brand != "" {
		r.Header.Set("X-Brand-ID", brand)
	}
	w := httptest.NewRecorder()
	m.rt.ServeHTTP(w, r)
	var e struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(w.Body.Bytes(), &e) // some answers are no JSON
	return said{w.Code, e.Error, w.Body.String()}
}

// made asks for something that must work, and gives a field of the answer.
func (m *matrix) made(method, path, key, body, field string) string {
	m.t.Helper()
	a := m.ask(method, path, key, body)
	var e struct {
		Data map[string]any `json:"data"`
	}
	if a.status != 200 || json.Unmarshal([]byte(a.body), &e) != nil {
		m.t.Fatalf("%s %s %s: %d %s", method, path, body, a.status, a.body)
	}
	switch v := e.Data[field].(type) {
	case float64:
		return fmt.Sprintf("%d", int64(v))
	case string:
		return v
	case []any:
		return fmt.Sprint(v[0])
	}
	return ""
}

func (m *matrix) unique() string {
	m.count++
	return fmt.Sprintf("unique-%d", m.count)
}

var anyParam = regexp.MustCompile(`\{[^}]*\}`)

var named = regexp.MustCompile(`\{([A-Za-z_]+)\}`)

func (m *matrix) fill(text, kind string) string {
	return named.ReplaceAllStringFunc(text, func(hole string) string {
		name := strings.Trim(hole, "{}")
		if name == "unique" {
			return m.unique()
		}
		value, ok := m.objects[kind][name]
		if !ok {
			m.t.Fatalf("the matrix has no %s %s", kind, name)
		}
		return value
	})
}

func openMatrix(t *testing.T) *matrix {
	t.Helper()
	a := openTest(t, filepath.Join(t.TempDir(), "data"), io.Discard)
	a.AdminKey = matrixAdminKey
	if _, err := a.bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	ready := &atomic.Bool{}
	ready.Store(true)
	m := &matrix{t: t, rt: a.routes(t.Context(), ready, a.authenticator()), keys: map[identity.Role]string{identity.Admin: matrixAdminKey}}
	var err error
	if m.doc, err = openapi3.NewLoader().LoadFromFile("../../docs/openapi.yaml"); err != nil {
		t.Fatal(err)
	}
	m.objects = map[string]map[string]string{
		"own": m.tenant("A"), "foreign": m.tenant("B"), "absent": {
			"brand_id": "999999", "product_id": "999999", "batch_id": "bat_00000000000000000000000000", "claim_id": "clm_00000000000000000000000000",
			"code": "000000000000000000", "task_id": "task_00000000000000000000000000", "tenant_id": "tnt_00000000000000000000000000",
			"role_id": "role_00000000000000000000000000", "user_id": "usr_00000000000000000000000000", "key_id": "apk_00000000000000000000000000",
			"approval_id": "apv_00000000000000000000000000", "captureID": "cap_00000000000000000000000000", "eventID": "urn:uuid:absent",
			"queryName": "absent", "source_id": "src_00000000000000000000000000", "subscriptionID": "sub_00000000000000000000000000",
			"complaint_id": "cpl_00000000000000000000000000", "passkey_id": "none", "session_id": "ses_00000000000000000000000000",
			"epc": "400000000000000008",
		},
	}
	for _, role := range identity.BuiltIn()[1:] {
		m.keys[role] = m.made("POST", "/api/v1/keys", matrixAdminKey,
			fmt.Sprintf(`{"name":%q,"role":%q,"tenant_id":%q}`, role, role, m.objects["own"]["tenant_id"]), "key")
	}
	return m
}

// tenant makes a company with one of everything.
func (m *matrix) tenant(name string) map[string]string {
	const key = matrixAdminKey
	o := map[string]string{"passkey_id": "none", "session_id": "ses_00000000000000000000000000"}
	o["brand_id"] = m.made("POST", "/api/v1/brands", key, `{"name":"`+name+`"}`, "brand_id")
	o["tenant_id"] = m.made("POST", "/api/v1/tenants", key,
		fmt.Sprintf(`{"name":%q,"kind":"brand","brands":[%s],"four_eyes_above":1}`, name, o["brand_id"]), "tenant_id")
	o["product_id"] = m.made("POST", "/api/v1/products", key, `{"brand_id":`+o["brand_id"]+`,"name":"p"}`, "product_id")
	o["batch_id"] = m.made("POST", "/api/v1/batches", key, `{"product_id":`+o["product_id"]+`,"batch_no":"1","quantity":10000}`, "batch_id")
	claim := "/api/v1/batches/" + o["batch_id"] + "/claims"
	o["claim_id"] = m.made("POST", claim, key, `{"quantity":10,"claimant":"line"}`, "claim_id")
	o["code"] = m.made("POST", claim, key, `{"quantity":1,"claimant":"line"}`, "codes")
	o["complaint_id"] = m.complaint(o["code"], o["brand_id"])
	o["task_id"] = m.made("POST", "/api/v1/batches/"+o["batch_id"]+"/export", key, `{"unclaimed":false}`, "task_id")
	o["user_id"] = m.made("POST", "/api/v1/users", key, `{"login":"user `+name+`","name":"n","role":"auditor","tenant_id":"`+o["tenant_id"]+`"}`, "user_id")
	o["key_id"] = m.made("POST", "/api/v1/keys", key, `{"name":"spare","role":"auditor","tenant_id":"`+o["tenant_id"]+`"}`, "key_id")
	o["role_id"] = m.made("POST", "/api/v1/roles", key, `{"name":"r","permissions":["code:read"],"tenant_id":"`+o["tenant_id"]+`"}`, "role_id")
	o["source_id"] = m.made("POST", "/api/v1/trace-sources", key, `{"brand_id":`+o["brand_id"]+`,"kind":"WMS","name":"w","url":"https://wms.invalid/"}`, "source_id")
	operator := m.made("POST", "/api/v1/keys", key, `{"name":"asks","role":"operator","tenant_id":"`+o["tenant_id"]+`"}`, "key")
	state := `{"select":{"batch_id":"` + o["batch_id"] + `","from_no":1,"to_no":2},"to":"%s","reason":"matrix"}`
	m.made("POST", "/api/v1/codes/state", key, fmt.Sprintf(state, "active"), "change_id")
	o["approval_id"] = m.made("POST", "/api/v1/codes/state", operator, fmt.Sprintf(state, "recalled"), "approval_id")
	if o["approval_id"] == "" {
		m.t.Fatal("a recall of two items was not held for a second person")
	}
	m.history(o)
	o["epc"] = m.made("POST", "/api/v1/containers", key, `{"brand_id":`+o["brand_id"]+`,"kind":"case","gs1_company_prefix":"4012345"}`, "sscc")
	return o
}

// history tells of what was done to a tenant's goods.
func (m *matrix) history(o map[string]string) {
	o["eventID"], o["queryName"] = "urn:uuid:of-"+o["brand_id"], "mine"
	raw := fmt.Sprintf(`{"@context":["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],"type":"EPCISDocument","schemaVersion":"2.0","creationDate":"2026-01-01T00:00:00Z",
		"epcisBody":{"eventList":[{"type":"ObjectEvent","eventID":%q,"eventTime":"2026-01-01T00:00:00Z","eventTimeZoneOffset":"+00:00","action":"OBSERVE","bizStep":"inspecting",
		"disposition":"in_progress","readPoint":{"id":"https://example.com/r"},"bizLocation":{"id":"https://example.com/l"},
		"epcList":["https://example.com/%s","urn:epc:id:sscc:4012345.0000000111"]}]}}`, o["eventID"], o["code"])
	m.wrote("POST", "/epcis/capture", raw, o["brand_id"])
	m.wrote("POST", "/epcis/queries", `{"name":"mine","query":{"EQ_bizStep":["inspecting"]}}`, o["brand_id"])
	m.wrote("POST", "/epcis/queries/mine/subscriptions", `{"dest":"https://erp.example/in","schedule":{"hour":"1"}}`, o["brand_id"])
	var subscriptions []struct {
		SubscriptionID string `json:"subscriptionID"`
	}
	if a := m.askFor(o["brand_id"], "GET", "/epcis/queries/mine/subscriptions", matrixAdminKey, ""); json.Unmarshal([]byte(a.body), &subscriptions) != nil || len(subscriptions) != 1 {
		m.t.Fatalf("the subscription: %d %s", a.status, a.body)
	}
	o["subscriptionID"] = subscriptions[0].SubscriptionID
	var jobs []struct {
		CaptureID string `json:"captureID"`
	}
	if a := m.ask("GET", "/epcis/capture", matrixAdminKey, ""); json.Unmarshal([]byte(a.body), &jobs) != nil || len(jobs) == 0 {
		m.t.Fatalf("the capture's job: %d %s", a.status, a.body)
	}
	o["captureID"] = jobs[0].CaptureID
}

// wrote asks for something that must work and answers with nothing.
func (m *matrix) wrote(method, path, body, brand string) {
	if a := m.askFor(brand, method, path, matrixAdminKey, body); a.status >= http.StatusMultipleChoices {
		m.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
}

// complaint files one about a code.
func (m *matrix) complaint(code, brand string) string {
	m.t.Helper()
	body := "--b\r\nContent-Disposition: form-data; name=\"code\"\r\n\r\n" + code + "\r\n--b\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nwrong\r\n--b--\r\n"
	r := httptest.NewRequestWithContext(m.t.Context(), http.MethodPost, "http://matrix.example/api/v1/complaints", strings.NewReader(body))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	w := httptest.NewRecorder()
	if m.rt.ServeHTTP(w, r); w.Code != http.StatusOK {
		m.t.Fatalf("complaint: %d %s", w.Code, w.Body)
	}
	a := m.ask("GET", "/api/v1/complaints?brand_id="+brand, matrixAdminKey, "")
	return regexp.MustCompile(`cpl_[0-9a-z]{26}`).FindString(a.body)
}

// documented holds an answer to docs/openapi.yaml.
func (m *matrix) documented(method, path string, a said) {
	m.t.Helper()
	item := m.doc.Paths.Value(path)
	if item == nil || item.GetOperation(method) == nil {
		m.t.Errorf("%s %s is not in the document", method, path)
		return
	}
	answer := item.GetOperation(method).Responses.Status(a.status)
	if answer == nil {
		m.t.Errorf("%s %s: the document knows no answer %d: %s", method, path, a.status, a.body)
		return
	}
	media := answer.Value.Content.Get("application/json")
	var value any
	if media == nil || json.Unmarshal([]byte(a.body), &value) != nil {
		return
	}
	if err := media.Schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		m.t.Errorf("%s %s does not fit the document: %.600v\n%s", method, path, err, a.body)
	}
}

// policyOf tells what the table says, independent of the running program.
func policyOf(role identity.Role) map[identity.Permission]bool {
	reads := []identity.Permission{"brand:read", "product:read", "batch:read", "code:read", "scan:read", "trace:read"}
	more := map[identity.Role][]identity.Permission{
		identity.Admin: identity.Permissions(),
		identity.Operator: {"brand:create", "brand:change", "source:read", "source:change", "source:push", "product:create", "product:change", "batch:issue",
			"code:change", "code:reissue", "trace:write", "task:read", "event:read", "role:read", "approval:read", "approval:decide",
			"complaint:read", "complaint:close"},
		identity.Dealer:  {},
		identity.Auditor: {"source:read", "task:read", "event:read", "tenant:read", "user:read", "role:read", "key:read", "audit:read", "approval:read", "complaint:read"},
		identity.Machine: {"source:read", "source:push", "batch:issue", "code:change", "trace:write", "task:read", "event:read"},
	}
	may := map[identity.Permission]bool{}
	for _, p := range slices.Concat(reads, more[role]) {
		may[p] = true
	}
	return may
}

// TestMatrix asks every authorised route as every role for an own, a foreign and an absent
// object. What a role may not do is denied whatever it names; what it may do works on its
// own and finds nothing else: a foreign object is answered as an absent one, byte for byte.
func TestMatrix(t *testing.T) {
	t.Parallel()
	m := openMatrix(t)
	lines := visits()
	maps.Copy(lines, epcisVisits())
	needs := m.rt.Needs()
	needs["GET /api/v1/openapi.json"] = "" // public, and shows nobody's objects
	for route := range lines {
		if _, ok := needs[route]; !ok {
			t.Errorf("the matrix has a line for %s, which is no authorised route", route)
		}
	}
	delete(needs, "GET /api/v1/openapi.json")
	cells := 0
	order := slices.SortedFunc(maps.Keys(needs), func(a, b string) int { return cmp.Or(removes(a)-removes(b), cmp.Compare(a, b)) })
	for _, route := range order {
		v, ok := lines[route]
		if !ok && needs[route] == httpx.System { // who may sees everything: no object is foreign
			cells += m.systemRow(route)
			continue
		}
		if !ok {
			t.Errorf("the matrix has no line for %s: say whose objects it shows", route)
			continue
		}
		if need := identity.Permission(needs[route]); need != "" && !slices.Contains(identity.Permissions(), need) {
			t.Errorf("%s asks for %s, which is in no policy", route, need)
		}
		cells += m.row(route, v, identity.Permission(needs[route]))
	}
	t.Logf("%d routes, %d cells", len(needs), cells)
}

// removes is not 0 for what takes away what other routes look for.
func removes(route string) int {
	if strings.HasSuffix(route, "/brands/{brand_id}/remove") {
		return 2 // and with the brand all that is its own
	}
	if strings.HasSuffix(route, "/erase") || strings.HasSuffix(route, "/remove") || strings.HasSuffix(route, "/revoke") {
		return 1
	}
	return 0
}

// systemRow sees that a route for those who run the installation is nobody else's.
func (m *matrix) systemRow(route string) (cells int) {
	method, path, _ := strings.Cut(route, " ")
	path = anyParam.ReplaceAllString(strings.TrimSuffix(path, "{$}"), "x")
	if a := m.ask(method, path, "", ""); a.status != http.StatusUnauthorized {
		m.t.Errorf("%s without a key: %d %s", route, a.status, a.body)
	}
	for _, role := range identity.BuiltIn()[1:] {
		if a := m.ask(method, path, m.keys[role], ""); a.status != http.StatusForbidden {
			m.t.Errorf("%s as %s: %d %s, want it denied", route, role, a.status, a.body)
		}
	}
	return len(identity.BuiltIn())
}

// row asks one route as everybody. Roles that may do less go first: what the
// administrator's request removes is not missing before.
func (m *matrix) row(route string, v visit, need identity.Permission) (cells int) {
	method, path, _ := strings.Cut(route, " ")
	asked := cmp.Or(v.path, path)
	request := func(kind, key string) said {
		cells++
		brand := ""
		if v.brand {
			brand = m.objects[kind]["brand_id"]
		}
		a := m.askFor(brand, method, m.fill(asked+v.query, kind), key, m.fill(v.body, kind))
		if !strings.HasPrefix(path, "/epcis") { // GS1's document, and tracehttp holds it to that
			m.documented(method, path, a)
		}
		return a
	}
	if a := request("own", ""); a.status != http.StatusUnauthorized {
		m.t.Errorf("%s without a key: %d %s", route, a.status, a.body)
	}
	for _, role := range []identity.Role{identity.Dealer, identity.Auditor, identity.Machine, identity.Operator, identity.Admin} {
		key := m.keys[role]
		if need != "" && !policyOf(role)[need] {
			for _, kind := range []string{"own", "foreign", "absent"} {
				if a := request(kind, key); a.status != http.StatusForbidden || a.error != "auth.denied" {
					m.t.Errorf("%s as %s, %s: %d %s, want it denied", route, role, kind, a.status, a.body)
				}
			}
			continue
		}
		want := v.want
		if want == 0 {
			want = http.StatusOK
		}
		if a := request("own", key); a.status != want && (role != identity.Admin || a.status != http.StatusConflict) || a.error == "auth.denied" {
			m.t.Errorf("%s as %s, own: %d %s, want %d", route, role, a.status, a.body, want)
		}
		if v.free || role == identity.Admin {
			continue
		}
		absent, foreign := request("absent", key), request("foreign", key)
		if absent != foreign {
			m.t.Errorf("%s as %s tells a foreign object from an absent one:\n%d %s%d %s", route, role, foreign.status, foreign.body, absent.status, absent.body)
		}
		if foreign.status != http.StatusNotFound && want < http.StatusMultipleChoices {
			m.t.Errorf("%s as %s, foreign: %d %s, want 404", route, role, foreign.status, foreign.body)
		}
	}
	return cells
}

// TestEveryRouteHasAPolicy: what is under /api asks for a permission or is on this list.
func TestEveryRouteHasAPolicy(t *testing.T) {
	t.Parallel()
	m := openMatrix(t)
	public := []string{
		"GET /api/v1/files/{name}", "GET /api/v1/images/{name}", "GET /api/v1/trace/{code}", "GET /api/v1/codes/{code}/qr.svg", "GET /api/v1/codes/{code}/qr.png",
		"GET /api/v1/signin", "POST /api/v1/signin", "POST /api/v1/signin/first", "POST /api/v1/signin/accept", "POST /api/v1/signin/passkey",
		"POST /api/v1/signin/passkey/finish", "POST /api/v1/oauth/token", "POST /api/v1/trace-sources/{source_id}/push", "POST /api/v1/complaints", "GET /api/v1/openapi.json",
		"GET /api/v1/consumer/options", "POST /api/v1/consumer/codes", "POST /api/v1/consumer/signin", "GET /api/v1/consumer/me", // with a pass of a consumer's,
		"GET /api/v1/consumer/export", "POST /api/v1/consumer/signout", "POST /api/v1/consumer/erase", "POST /api/v1/consumer/identifiers", // which is no key
	}
	needs := m.rt.Needs()
	for _, route := range m.rt.Routes() {
		_, asks := needs[route]
		if strings.HasPrefix(route, "HEAD ") || !strings.Contains(route, " /api/") || asks || slices.Contains(public, route) {
			continue
		}
		t.Errorf("%s asks for nothing and is not on the list of public routes", route)
	}
}

// TestListsShowOwnOnly: a list without a filter has what is in the caller's scope, and
// nothing of another tenant, in pages too.
func TestListsShowOwnOnly(t *testing.T) {
	t.Parallel()
	m := openMatrix(t)
	foreign := m.objects["foreign"]
	for _, list := range []string{"brands", "products", "batches", "events", "tenants", "users", "keys", "approvals", "audit", "roles"} {
		for role, key := range m.keys {
			if role == identity.Admin {
				continue
			}
			a := m.ask("GET", "/api/v1/"+list+"?limit=5", key, "")
			if a.status == http.StatusForbidden || a.status == http.StatusBadRequest {
				a = m.ask("GET", "/api/v1/"+list, key, "")
			}
			for _, name := range []string{"batch_id", "tenant_id", "user_id", "key_id", "approval_id", "role_id"} {
				if strings.Contains(a.body, foreign[name]) {
					t.Errorf("%s as %s shows a foreign %s", list, role, name)
				}
			}
			if strings.Contains(a.body, `"brand_id":`+foreign["brand_id"]) {
				t.Errorf("%s as %s shows a foreign brand", list, role)
			}
		}
	}
	if a := m.ask("GET", "/api/v1/batches", m.keys[identity.Operator], ""); !strings.Contains(a.body, m.objects["own"]["batch_id"]) {
		t.Errorf("an own batch is missing: %s", a.body)
	}
}
