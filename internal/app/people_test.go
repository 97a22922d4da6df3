package app

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/notify"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/test/servers"
)

// desk is a process whose routes a test asks.
type desk struct {
	t  *testing.T
	a  *App
	rt *httpx.Router
}

func openDesk(t *testing.T, change func(c *Config)) *desk {
	t.Helper()
	c := testConfig(filepath.Join(t.TempDir(), "data"))
	change(&c)
	a, err := Open(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	a.AdminKey = matrixAdminKey
	if _, err := a.bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	ready := &atomic.Bool{}
	ready.Store(true)
	return &desk{t, a, a.routes(t.Context(), ready, a.authenticator())}
}

// ask asks with a bearer's secret; header is "Name: value".
func (d *desk) ask(method, path, bearer, body string, header ...string) (int, map[string]any, string) {
	d.t.Helper()
	r := httptest.NewRequestWithContext(d.t.Context(), method, "http://desk.example"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	d.rt.ServeHTTP(w, r)
	var said struct {
		Data map[string]any `json:"data"`
	}
	_ = json.Unmarshal(w.Body.Bytes(), &said) // some answers are no JSON
	return w.Code, said.Data, w.Body.String()
}

func (d *desk) must(method, path, bearer, body string) map[string]any {
	d.t.Helper()
	status, data, text := d.ask(method, path, bearer, body)
	if status != http.StatusOK {
		d.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	return data
}

// codeToScan makes an item that can be scanned.
func (d *desk) codeToScan() string {
	d.t.Helper()
	brand := d.must("POST", "/api/v1/brands", matrixAdminKey, `{"name":"b"}`)["brand_id"]
	product := d.must("POST", "/api/v1/products", matrixAdminKey, fmt.Sprintf(`{"brand_id":%v,"name":"p"}`, brand))["product_id"]
	batch := d.must("POST", "/api/v1/batches", matrixAdminKey, fmt.Sprintf(`{"product_id":%v,"batch_no":"1","quantity":10000}`, product))["batch_id"]
	codes := d.must("POST", fmt.Sprintf("/api/v1/batches/%v/claims", batch), matrixAdminKey, `{"quantity":1,"claimant":"line"}`)["codes"]
	return codes.([]any)[0].(string)
}

// TestConsumerScans: a code that came by a signed post signs a consumer in, and the records
// of his scans, and of nobody else's, name the account.
func TestConsumerScans(t *testing.T) {
	t.Parallel()
	secret := notify.Secret{1, 2, 3}
	var code atomic.Value
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		var said struct{ To, Code, Lang string }
		if err != nil || json.Unmarshal(raw, &said) != nil || said.To != "+8613800138000" || !strings.HasPrefix(r.Header.Get("Webhook-Signature"), "v1,") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		code.Store(said.Code)
	}))
	defer gateway.Close()
	d := openDesk(t, func(c *Config) {
		c.People.Consumers = ConsumersConfig{SMSURL: gateway.URL, SMSSecret: "whsec_" + base64.StdEncoding.EncodeToString(secret[:]), SMSPrefixes: []string{"+86"}}
	})
	item := d.codeToScan()
	d.must("POST", "/api/v1/consumer/codes", "", `{"phone":"13800138000"}`)
	in := d.must("POST", "/api/v1/consumer/signin", "", fmt.Sprintf(`{"phone":"13800138000","code":%q,"client_type":"app"}`, code.Load()))
	pass := in["token"].(string)
	for _, header := range []string{"Authorization: Bearer " + pass, "Cookie: __Host-consumer=" + pass, "Cookie: a=b", "Authorization: Bearer junk"} {
		if status, _, text := d.ask("GET", "/api/v1/codes/"+item+"/verify", "", "", header); status != http.StatusOK {
			t.Fatalf("with %.30q a scan answers %d %s", header, status, text)
		}
	}
	scans := d.must("GET", "/api/v1/codes/"+item+"/scans", matrixAdminKey, "")["scans"].([]any)
	var users []any
	for _, s := range scans {
		users = append(users, s.(map[string]any)["user_id"])
	}
	if len(users) != 4 || users[0] != nil || users[1] != nil || users[2] != in["user_id"] || users[3] != in["user_id"] {
		t.Errorf("the newest first, scans are of %v, want of %v twice and then of nobody", users, in["user_id"])
	}
	d.must("POST", "/api/v1/consumer/signout", pass, `{}`)
	d.ask("GET", "/api/v1/codes/"+item+"/verify", pass, "")
	newest := d.must("GET", "/api/v1/codes/"+item+"/scans?limit=1", matrixAdminKey, "")["scans"].([]any)[0].(map[string]any)
	if newest["user_id"] != nil {
		t.Error("a scan after the sign-out names the account")
	}
}

// TestLDAP: who is in the directory signs in with its password and has the role of its
// groups; an administrator of it needs a second factor here, and a name that was made here is
// not the directory's to open.
func TestLDAP(t *testing.T) {
	t.Parallel()
	s := servers.StartLDAP(t, "alice alice-secret packers", "boss boss-secret bosses", "local directory-secret packers", "guest guest-secret")
	d := openDesk(t, func(c *Config) {
		c.People.LDAP = LDAPConfig{
			URL: s.URL, CA: s.CA, Users: "ou=people,dc=example,dc=com", UserFilter: "(uid={login})", Groups: "ou=groups,dc=example,dc=com",
			Roles: []string{"cn=bosses,ou=groups,dc=example,dc=com=admin", "packers=operator"},
		}
	})
	signIn := func(login, password string) (int, map[string]any, string) {
		return d.ask("POST", "/api/v1/signin", "", fmt.Sprintf(`{"login":%q,"password":%q,"client_type":"api"}`, login, password))
	}
	_, in, text := signIn("alice", "alice-secret")
	token, _ := in["token"].(string)
	if token == "" || in["enroll_first"] != false {
		t.Fatal(text)
	}
	if me := d.must("GET", "/api/v1/me", token, ""); me["role"] != string(identity.Operator) {
		t.Errorf("alice is %v", me)
	}
	if status, _, text := d.ask("POST", "/api/v1/me/password", token, `{"password":"alice-secret","new_password":"another long password"}`); status != 409 || !strings.Contains(text, "password.elsewhere") {
		t.Errorf("a password of the directory was changed here: %d %s", status, text)
	}
	_, again, _ := signIn("alice", "alice-secret")
	if again["user_id"] != in["user_id"] {
		t.Errorf("two accounts: %v and %v", in["user_id"], again["user_id"])
	}
	_, boss, text := signIn("boss", "boss-secret")
	if boss["enroll_first"] != true {
		t.Fatalf("an administrator without a second factor: %s", text)
	}
	if status, _, _ := d.ask("GET", "/api/v1/users", boss["token"].(string), ""); status != http.StatusForbidden {
		t.Errorf("the session opens more than setting one up: %d", status)
	}
	d.must("POST", "/api/v1/me/totp", boss["token"].(string), `{"password":"boss-secret"}`)
	made := d.must("POST", "/api/v1/users", matrixAdminKey, `{"login":"local","name":"n","role":"auditor"}`)
	d.must("POST", "/api/v1/signin/accept", "", fmt.Sprintf(`{"token":%q,"password":"a password of this place"}`, made["token"]))
	for _, c := range [][2]string{{"local", "directory-secret"}, {"alice", "wrong"}, {"guest", "guest-secret"}, {"*", "alice-secret"}, {"nobody", "x"}} {
		if status, _, text := signIn(c[0], c[1]); status != 401 || !strings.Contains(text, "signin.refused") {
			t.Errorf("%v: %d %s", c, status, text)
		}
	}
	if status, _, text := signIn("local", "a password of this place"); status != 200 {
		t.Errorf("an account of this place: %d %s", status, text)
	}
}

// TestDirectoryAway: while the directory does not answer, who is not known here is told to try again,
// and accounts of this place are opened as ever.
func TestDirectoryAway(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close() // nobody listens there any more
	d := openDesk(t, func(c *Config) {
		c.People.LDAP = LDAPConfig{URL: "ldap://" + gone.Listener.Addr().String(), Users: "ou=people,dc=example,dc=com", Roles: []string{"packers=operator"}}
	})
	made := d.must("POST", "/api/v1/users", matrixAdminKey, `{"login":"local","name":"n","role":"auditor"}`)
	d.must("POST", "/api/v1/signin/accept", "", fmt.Sprintf(`{"token":%q,"password":"a password of this place"}`, made["token"]))
	if status, _, text := d.ask("POST", "/api/v1/signin", "", `{"login":"alice","password":"alice-secret","client_type":"api"}`); status != 503 || !strings.Contains(text, "ldap.unavailable") {
		t.Errorf("who may be in the directory: %d %s", status, text)
	}
	d.must("POST", "/api/v1/signin", "", `{"login":"local","password":"a password of this place","client_type":"api"}`)
}

// TestQuota: a tenant's keys share its requests, over all routes; others and the platform go on.
func TestQuota(t *testing.T) {
	t.Parallel()
	d := openDesk(t, func(*Config) {})
	tenant := d.must("POST", "/api/v1/tenants", matrixAdminKey, `{"name":"t","kind":"brand","requests_per_day":6}`)["tenant_id"].(string)
	var keys []string
	for range 2 {
		keys = append(keys, d.must("POST", "/api/v1/keys", matrixAdminKey, fmt.Sprintf(`{"name":"k","role":"operator","tenant_id":%q}`, tenant))["key"].(string))
	}
	for i := range 6 {
		d.must("GET", "/api/v1/brands", keys[i%2], "")
	}
	for _, key := range keys {
		if status, _, text := d.ask("GET", "/api/v1/products?brand_id=1", key, ""); status != http.StatusTooManyRequests || !strings.Contains(text, "limit.requests") {
			t.Errorf("beyond the day's: %d %s", status, text)
		}
	}
	d.must("PATCH", "/api/v1/tenants/"+tenant, matrixAdminKey, `{"requests_per_day":0}`)
	d.must("GET", "/api/v1/brands", keys[0], "")
	if status, _, _ := d.ask("PATCH", "/api/v1/tenants/platform", matrixAdminKey, `{"requests_per_second":1}`); status != http.StatusBadRequest {
		t.Errorf("the platform can shut itself out: %d", status)
	}
}

// TestBrandOrigins: a page of a brand's origin acts on that brand alone, whatever the key may,
// and on no people; another page reads nothing.
func TestBrandOrigins(t *testing.T) {
	t.Parallel()
	d := openDesk(t, func(*Config) {})
	var brands []string
	for _, name := range []string{"one", "two"} {
		brands = append(brands, fmt.Sprint(d.must("POST", "/api/v1/brands", matrixAdminKey, `{"name":"`+name+`"}`)["brand_id"]))
	}
	const shop = "https://shop.example"
	d.must("POST", "/api/v1/brands/"+brands[0]+"/origins", matrixAdminKey, `{"origins":["`+shop+`"]}`)
	if status, _, _ := d.ask("POST", "/api/v1/brands/"+brands[0]+"/origins", matrixAdminKey, `{"origins":["https://shop.example/path"]}`); status != 400 {
		t.Errorf("what is no origin was taken: %d", status)
	}
	from := func(origin, path string) (int, string, string) {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "http://desk.example"+path, nil)
		r.Header.Set("Authorization", "Bearer "+matrixAdminKey)
		r.Header.Set("Origin", origin)
		w := httptest.NewRecorder()
		d.rt.ServeHTTP(w, r)
		return w.Code, w.Header().Get("Access-Control-Allow-Origin"), w.Body.String()
	}
	for path, want := range map[string]int{
		"/api/v1/brands/" + brands[0]: 200, "/api/v1/brands/" + brands[1]: 404, "/api/v1/users": 403, "/api/v1/keys": 403, "/api/v1/audit": 403,
	} {
		if status, allowed, text := from(shop, path); status != want || status == 200 && allowed != shop {
			t.Errorf("%s from the shop: %d, read by %q: %s", path, status, allowed, text)
		}
	}
	if _, _, text := from(shop, "/api/v1/brands"); strings.Contains(text, `"two"`) || !strings.Contains(text, `"one"`) {
		t.Errorf("the list shows %s", text)
	}
	if status, allowed, _ := from("https://evil.example", "/api/v1/brands/"+brands[0]); status != 200 || allowed != "" {
		t.Errorf("another page: %d, read by %q", status, allowed)
	}
	d.must("POST", "/api/v1/brands/"+brands[0]+"/origins", matrixAdminKey, `{"origins":[]}`)
	if _, allowed, _ := from(shop, "/api/v1/brands/"+brands[0]); allowed != "" {
		t.Error("an origin that was taken away reads on")
	}
}
