package identityhttp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chopmark/chopmark/internal/identity"
)

// lastCode is a sender that remembers the last code.
type lastCode struct {
	mu   sync.Mutex
	code string // guarded by mu
}

func (l *lastCode) Send(_ context.Context, _, code, _ string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.code = code
	return nil
}

func (l *lastCode) get() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.code
}

func newShop(t *testing.T, doors ConsumerDoors) (*house, *lastCode) {
	t.Helper()
	sent := &lastCode{}
	return newHouse(t, nil, func(c *identity.Config, d *Deps) {
		c.Consumers.Senders = map[identity.Channel]identity.Sender{identity.SMS: sent}
		d.Consumers = doors
	}), sent
}

// TestConsumer: a browser signs in by a code, sees itself masked, exports and erases itself;
// its cookie opens nothing of the console, and another origin's page nothing of it.
func TestConsumer(t *testing.T) {
	t.Parallel()
	h, sent := newShop(t, ConsumerDoors{})
	b := h.browser()
	h.want(h.ask(b, "GET", "/api/v1/consumer/options", ""), 200, `"codes":["sms"],"doors":[]`)
	h.want(h.ask(b, "POST", "/api/v1/consumer/codes", `{"email":"a@example.com"}`), 503, "consumer.no_channel")
	h.want(h.ask(b, "POST", "/api/v1/consumer/codes", `{"phone":"13800138000","is_admin":true}`), 400, "")
	h.want(h.ask(b, "POST", "/api/v1/consumer/codes", `{"phone":"13800138000"}`, "Origin: https://evil.example"), 403, "auth.cross_origin")
	h.want(h.ask(b, "POST", "/api/v1/consumer/codes", `{"phone":"13800138000"}`), 200, `"expires_in":300`)
	h.want(h.ask(b, "GET", "/api/v1/consumer/me", ""), 401, "")
	h.want(h.ask(b, "POST", "/api/v1/consumer/signin", `{"phone":"13800138000","code":"x"}`), 401, "consumer.code_refused")
	body := `{"phone":"+86 13800138000","code":"` + sent.get() + `"`
	h.want(h.ask(b, "POST", "/api/v1/consumer/signin", body+`,"client_type":"api"}`), 400, "session.bad_client")
	h.want(h.ask(b, "POST", "/api/v1/consumer/signin", body+`}`, "Origin: https://evil.example"), 403, "auth.cross_origin")
	in := h.want(h.ask(b, "POST", "/api/v1/consumer/signin", body+`}`), 200, `"client_type":"web"`)
	set := in.head.Get("Set-Cookie")
	for _, part := range []string{"consumer=cmc_", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2591"} {
		if !strings.Contains(set, part) || strings.Contains(in.body, "cmc_") {
			t.Errorf("cookie %q has no %s, or the answer shows it: %s", set, part, in.body)
		}
	}
	h.want(h.ask(b, "GET", "/api/v1/consumer/me", ""), 200, `"phone":"****00"`)
	h.want(h.ask(b, "GET", "/api/v1/consumer/export", ""), 200, `"phone":"+8613800138000"`)
	h.want(h.ask(b, "GET", "/api/v1/me", ""), 401, "")
	pass, _, _ := strings.Cut(strings.TrimPrefix(set, "consumer="), ";")
	for _, header := range []string{"Authorization: Bearer " + pass, "Cookie: session_id=" + pass} {
		h.want(h.ask(http.DefaultClient, "GET", "/api/v1/me", "", header), 401, "")
		h.want(h.ask(http.DefaultClient, "GET", "/api/v1/users", "", header), 401, "")
	}
	h.want(h.ask(http.DefaultClient, "GET", "/api/v1/consumer/me", "", "Authorization: Bearer "+pass), 200, "****00")
	h.want(h.ask(b, "POST", "/api/v1/consumer/erase", "", "Origin: https://evil.example"), 403, "auth.cross_origin")

	admin := "Authorization: Bearer " + adminKey
	h.want(h.ask(http.DefaultClient, "GET", "/api/v1/consumers?phone=13800138000", ""), 401, "")
	found := h.want(h.ask(http.DefaultClient, "GET", "/api/v1/consumers?phone=13800138000", "", admin), 200, `"phone":"****00"`)
	h.want(h.ask(http.DefaultClient, "GET", "/api/v1/consumers?phone=13800138001", "", admin), 200, `"consumers":[]`)
	id := int64(found.data["consumers"].([]any)[0].(map[string]any)["user_id"].(float64))
	h.want(h.ask(http.DefaultClient, "GET", fmt.Sprintf("/api/v1/consumers/%d/export", id), "", admin), 200, "+8613800138000")
	h.want(h.ask(http.DefaultClient, "GET", "/api/v1/consumers/77/export", "", admin), 404, "consumer.unknown")

	h.want(h.ask(b, "POST", "/api/v1/consumer/erase", ""), 200, "")
	h.want(h.ask(http.DefaultClient, "GET", "/api/v1/consumer/me", "", "Authorization: Bearer "+pass), 401, "session.over")
	h.want(h.ask(http.DefaultClient, "GET", fmt.Sprintf("/api/v1/consumers/%d/export", id), "", admin), 200, `"state":"erased","phone":null`)
}

// TestConsumerComesBack: past half the life of a pass a browser gets another in its cookie, and
// who showed it in a header in one; signing out leaves none behind.
func TestConsumerComesBack(t *testing.T) {
	t.Parallel()
	h, sent := newShop(t, ConsumerDoors{})
	signIn := func(c *http.Client, more string) reply {
		t.Helper()
		h.want(h.ask(c, "POST", "/api/v1/consumer/codes", `{"phone":"13800138000"}`), 200, "")
		h.later.Add(61)
		return h.want(h.ask(c, "POST", "/api/v1/consumer/signin", `{"phone":"13800138000","code":"`+sent.get()+`"`+more+`}`), 200, "")
	}
	b := h.browser()
	in, app := signIn(b, ""), signIn(http.DefaultClient, `,"client_type":"app"`)
	pass := app.data["token"].(string)
	bearer := "Authorization: Bearer " + pass
	me := func(c *http.Client, header ...string) reply {
		t.Helper()
		return h.want(h.ask(c, "GET", "/api/v1/consumer/me", "", header...), 200, `"state":"active"`)
	}
	if got := me(b); got.head.Get("Set-Cookie") != "" || me(http.DefaultClient, bearer).head.Get("X-Consumer-Token") != "" {
		t.Error("a fresh pass is given at once")
	}
	h.later.Add(16 * 24 * 3600)
	got := me(b)
	if set := got.head.Get("Set-Cookie"); !strings.HasPrefix(set, "consumer=cmc_") || !strings.Contains(set, "Max-Age=2591") || set == in.head.Get("Set-Cookie") || got.head.Get("X-Consumer-Token") != "" {
		t.Errorf("the browser gets %q and %q", set, got.head.Get("X-Consumer-Token"))
	}
	got = me(http.DefaultClient, bearer)
	fresh := got.head.Get("X-Consumer-Token")
	if !strings.HasPrefix(fresh, "cmc_") || fresh == pass || got.head.Get("Set-Cookie") != "" {
		t.Errorf("the app gets %q and %q", fresh, got.head.Get("Set-Cookie"))
	}
	h.later.Add(20 * 24 * 3600)
	me(b)
	me(http.DefaultClient, "Authorization: Bearer "+fresh)
	h.want(h.ask(http.DefaultClient, "GET", "/api/v1/consumer/me", "", bearer), 401, "session.over")
	out := h.want(h.ask(b, "POST", "/api/v1/consumer/signout", `{}`), 200, "")
	if all := out.head.Values("Set-Cookie"); len(all) != 1 || !strings.Contains(all[0], "Max-Age=0") {
		t.Errorf("signing out sets %q", all)
	}
}

// TestConsumerIdentifiers: a second identifier by its code; no session, another origin's page, a
// field more, and what is another's are refused.
func TestConsumerIdentifiers(t *testing.T) {
	t.Parallel()
	h, sent := newShop(t, ConsumerDoors{})
	const path = "/api/v1/consumer/identifiers"
	code := func(number string) string {
		t.Helper()
		h.want(h.ask(http.DefaultClient, "POST", "/api/v1/consumer/codes", `{"phone":"`+number+`"}`), 200, "")
		h.later.Add(61)
		return sent.get()
	}
	h.want(h.ask(http.DefaultClient, "POST", "/api/v1/consumer/signin", `{"phone":"13800138001","code":"`+code("13800138001")+`"}`), 200, "")
	who, err := h.svc.SignInConsumerProvided(t.Context(), identity.Provided{Issuer: "wechat", Subject: "u-1"}, identity.Device{Client: identity.App})
	if err != nil {
		t.Fatal(err)
	}
	me := "Authorization: Bearer " + who.Token
	h.want(h.ask(http.DefaultClient, "POST", path, `{"phone":"13800138000","code":"000000"}`), 401, "")
	h.want(h.ask(http.DefaultClient, "POST", path, `{"phone":"13800138000","code":"000000"}`, "Cookie: consumer="+who.Token, "Origin: https://evil.example"), 403, "auth.cross_origin")
	h.want(h.ask(http.DefaultClient, "POST", path, `{"phone":"13800138000","code":"000000","user_id":1}`, me), 400, "")
	h.want(h.ask(http.DefaultClient, "POST", path, `{"code":"000000"}`, me), 400, "consumer.bad_target")
	h.want(h.ask(http.DefaultClient, "POST", path, `{"phone":"13800138001","code":"000000"}`, me), 401, "consumer.code_refused")
	taken := h.want(h.ask(http.DefaultClient, "POST", path, `{"phone":"13800138001","code":"`+code("13800138001")+`"}`, me), 409, "consumer.identifier_taken")
	if strings.Contains(taken.body, "user_id") || strings.Contains(taken.body, "1380013") {
		t.Errorf("the refusal tells whose it is: %s", taken.body)
	}
	h.want(h.ask(http.DefaultClient, "POST", path, `{"phone":"13800138000","code":"`+code("13800138000")+`"}`, me), 200, `"phone":"****00"`)
	h.want(h.ask(http.DefaultClient, "POST", path, `{"phone":"13800138002","code":"`+code("13800138002")+`"}`, me), 409, "consumer.identifier_there")
}

// TestConsumerSessionIsNotFixed: a pass that somebody planted in the browser beforehand is
// another one after the sign-in, and opens nothing.
func TestConsumerSessionIsNotFixed(t *testing.T) {
	t.Parallel()
	h, sent := newShop(t, ConsumerDoors{})
	h.want(h.ask(http.DefaultClient, "POST", "/api/v1/consumer/codes", `{"phone":"13800138000"}`), 200, "")
	planted := "cmc_" + strings.Repeat("A", 80)
	in := h.want(h.ask(http.DefaultClient, "POST", "/api/v1/consumer/signin", `{"phone":"13800138000","code":"`+sent.get()+`"}`, "Cookie: consumer="+planted), 200, "")
	if strings.Contains(in.head.Get("Set-Cookie"), planted) {
		t.Error("the planted pass lives on")
	}
	h.want(h.ask(http.DefaultClient, "GET", "/api/v1/consumer/me", "", "Authorization: Bearer "+planted), 401, "")
}

// weChat speaks as WeChat's documentation says.
func weChat(t *testing.T) *httptest.Server {
	t.Helper()
	say := func(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /connect/qrconnect", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("appid") != "wx1" || q.Get("response_type") != "code" || q.Get("scope") != "snsapi_login" {
			http.Error(w, "40013", http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, q.Get("redirect_uri")+"?code=wxcode&state="+url.QueryEscape(q.Get("state")), http.StatusFound)
	})
	mux.HandleFunc("GET /sns/oauth2/access_token", func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("appid") != "wx1" || q.Get("secret") != "s1" || q.Get("code") != "wxcode" {
			say(w, map[string]any{"errcode": 40029, "errmsg": "invalid code"})
			return
		}
		say(w, map[string]any{"access_token": "t", "openid": "o-site", "unionid": "u-1", "scope": "snsapi_login"})
	})
	mux.HandleFunc("GET /sns/jscode2session", func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("appid") != "wx2" || q.Get("secret") != "s2" || q.Get("js_code") != "jscode" {
			say(w, map[string]any{"errcode": 40029, "errmsg": "invalid code"})
			return
		}
		say(w, map[string]any{"openid": "o-mini", "session_key": "k", "unionid": "u-1"})
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// TestWeChat: site and mini-program lead to one account, by the unionid; a code that WeChat
// does not know, or WeChat being away, to none; nobody is sent to another site.
func TestWeChat(t *testing.T) {
	t.Parallel()
	wx := weChat(t)
	h, _ := newShop(t, ConsumerDoors{WeChat: &WeChat{AppID: "wx1", Secret: "s1", MiniAppID: "wx2", MiniSecret: "s2", Open: wx.URL, API: wx.URL}})
	b := h.browser()
	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.Path, "/123456789012345678") || r.URL.Query().Has("error") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	got := h.ask(b, "GET", "/signin/consumer/wechat?next=/123456789012345678", "")
	if to := got.head.Get("Location"); got.status != 302 || to != h.srv.URL+"/123456789012345678" {
		t.Fatalf("led to %d %q %s", got.status, to, got.body)
	}
	site := h.want(h.ask(b, "GET", "/api/v1/consumer/me", ""), 200, `"state":"active"`)
	mini := h.want(h.ask(http.DefaultClient, "POST", "/api/v1/consumer/signin", `{"wechat_code":"jscode","client_type":"miniapp"}`), 200, `"token":"cmc_`)
	if mini.data["user_id"] != site.data["user_id"] {
		t.Errorf("two accounts: %v and %v", site.data["user_id"], mini.data["user_id"])
	}
	h.want(h.ask(http.DefaultClient, "POST", "/api/v1/consumer/signin", `{"wechat_code":"junk","client_type":"miniapp"}`), 403, "oidc.refused")
	for _, next := range []string{"//evil.example/", "https://evil.example/", `/\evil.example`, "evil", "/a%0d%0aSet-Cookie:x=y", "javascript:alert(1)"} {
		if p := ownPath(next); p != "" && (p[0] != '/' || strings.Contains(p, "evil.example")) {
			t.Errorf("%q leads to %q", next, p)
		}
	}
	got = h.ask(b, "GET", "/signin/consumer/wechat/callback?code=wxcode&state=of-somebody-else", "")
	if to := got.head.Get("Location"); !strings.HasSuffix(to, "/?error=signin.expired_step") {
		t.Errorf("a callback that nobody began leads to %q", to)
	}
	wx.Close()
	down := h.want(h.ask(http.DefaultClient, "POST", "/api/v1/consumer/signin", `{"wechat_code":"jscode","client_type":"miniapp"}`), 503, "oidc.unavailable")
	if strings.Contains(down.body, "s2") {
		t.Errorf("the answer quotes the address: %s", down.body)
	}
}

// TestConsumerProvider: OpenID Connect is a door for consumers too, and gives no role.
func TestConsumerProvider(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	h, _ := newShop(t, ConsumerDoors{Provider: &Provider{Issuer: p.srv.URL, ClientID: "chopmark", ClientSecret: "secret"}})
	b := h.browser()
	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/" {
			return http.ErrUseLastResponse
		}
		return nil
	}
	if got := h.ask(b, "GET", "/signin/consumer", ""); got.status != 302 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	h.want(h.ask(b, "GET", "/api/v1/consumer/me", ""), 200, `"state":"active"`)
	h.want(h.ask(b, "GET", "/api/v1/users", ""), 401, "")
}
