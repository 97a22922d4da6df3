package identityhttp

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// ConsumerDoors are the ways in for those who scan, beside codes by message. nil = none.
type ConsumerDoors struct {
	Provider *Provider // OpenID Connect; its roles mean nothing here
	WeChat   *WeChat
}

// consumers answers those who scan. Their sessions open nothing of the other routes.
type consumers struct {
	*api
	wechat *weChatFlow // nil = none
	doors  []string
}

const (
	consumerCookie      = "__Host-consumer"
	consumerCookiePlain = "consumer"
	consumerOIDC        = "/signin/consumer"
	consumerWeChat      = "/signin/consumer/wechat"
)

func (a *api) mountConsumers(rt *httpx.Router, d ConsumerDoors) {
	c := &consumers{api: a}
	if d.Provider != nil {
		c.door(rt, &oidcFlow{Provider: *d.Provider}, consumerOIDC)
	}
	if d.WeChat != nil {
		c.wechat = newWeChat(*d.WeChat)
		if d.WeChat.AppID != "" {
			c.door(rt, c.wechat, consumerWeChat)
		}
	}
	rt.Public("GET /api/v1/consumer/options", private(c.getOptions))
	rt.Public("POST /api/v1/consumer/codes", private(a.ours(c.postCode)))
	rt.Public("POST /api/v1/consumer/signin", private(a.ours(c.postSignIn)))
	rt.Public("GET /api/v1/consumer/me", private(c.own(c.getMe)))
	rt.Public("GET /api/v1/consumer/export", private(c.own(c.getExport)))
	rt.Public("POST /api/v1/consumer/identifiers", private(c.own(c.postIdentifier)))
	rt.Public("POST /api/v1/consumer/signout", private(c.leaving(c.postSignOut)))
	rt.Public("POST /api/v1/consumer/erase", private(c.leaving(c.postErase)))
	rt.Admin("GET /api/v1/consumers", c.getConsumers)
	rt.Admin("GET /api/v1/consumers/{user_id}/export", c.getConsumerExport)
	rt.Admin("POST /api/v1/consumers/{user_id}/erase", c.postConsumerErase)
}

func (c *consumers) door(rt *httpx.Router, flow codeFlow, path string) {
	c.doors = append(c.doors, path)
	(&door{
		api: c.api, flow: flow, path: path, cookie: "consumer-step", failed: "/?error=",
		enter: func(w http.ResponseWriter, r *http.Request, who identity.Provided, s *step) (string, error) {
			o, err := c.svc.SignInConsumerProvided(r.Context(), who, c.device(r, deviceAsk{ClientType: identity.Web}))
			if err != nil {
				return "", err
			}
			http.SetCookie(w, c.cookie(r, o.Token, o.ExpiresAt.Sub(o.CreatedAt)))
			if s.Next == "" {
				return "/", nil
			}
			return s.Next, nil
		},
	}).add(rt)
}

func (c *consumers) cookie(r *http.Request, value string, life time.Duration) *http.Cookie {
	made := sessionCookie(cookieName, value, life) //nolint:gosec // it sets all of them
	if made.Name = consumerCookie; c.auth.cookieFor(r) == cookieNamePlain {
		made.Name, made.Secure = consumerCookiePlain, false
	}
	return made
}

// freshToken is the header with a fresh pass for who showed one in a header.
const freshToken = "X-Consumer-Token"

type ownHandler func(w http.ResponseWriter, r *http.Request, v *identity.ConsumerVisit) error

// own lets in who is signed in, by the header or the cookie, and moves the session on: a fresh
// pass goes the way that the old one came.
func (c *consumers) own(h ownHandler) httpx.Handler {
	return c.signedIn(h, func(r *http.Request) bool { return c.svc.Renews(r.Method != http.MethodGet) })
}

// leaving is own for what ends the session.
func (c *consumers) leaving(h ownHandler) httpx.Handler {
	return c.signedIn(h, func(*http.Request) bool { return false })
}

func (c *consumers) signedIn(h ownHandler, renews func(r *http.Request) bool) httpx.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		secret, byHeader := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !byHeader {
			if err := c.auth.cross.Check(r); err != nil {
				return ErrCrossOrigin
			}
			kept, err := r.Cookie(c.cookie(r, "", 0).Name)
			if err != nil {
				return httpx.ErrNoAuth
			}
			secret = kept.Value
		}
		v, err := c.svc.VisitConsumer(r.Context(), secret, renews(r))
		if err != nil {
			return err
		}
		switch {
		case v.Fresh != "" && byHeader:
			w.Header().Set(freshToken, v.Fresh)
		case v.Fresh != "":
			http.SetCookie(w, c.cookie(r, v.Fresh, v.Until.Sub(c.svc.Now())))
		}
		return h(w, r, &v)
	}
}

type consumerOptions struct {
	Codes []identity.Channel `json:"codes"` // how codes are sent here
	Doors []string           `json:"doors"` // paths that lead to providers; they take ?next=
	Mini  bool               `json:"wechat_miniapp"`
}

// getOptions answers GET /api/v1/consumer/options: which ways in there are.
func (c *consumers) getOptions(w http.ResponseWriter, _ *http.Request) error {
	return done(w, consumerOptions{orEmpty(c.svc.Offers()), orEmpty(c.doors), c.wechat != nil && c.wechat.MiniAppID != ""})
}

type targetAsk struct {
	Phone string `json:"phone"`
	Email string `json:"email"`
}

type codeSent struct {
	ExpiresIn int `json:"expires_in"` // seconds
	AgainIn   int `json:"again_in"`
}

// postCode answers POST /api/v1/consumer/codes.
func (c *consumers) postCode(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[targetAsk](w, r)
	if err != nil {
		return err
	}
	t, err := identity.ParseTarget(ask.Phone, ask.Email)
	if err != nil {
		return err
	}
	if err := c.svc.SendCode(r.Context(), t, netOf(r, c.proxies), httpx.Language(r)); err != nil {
		return err
	}
	return done(w, codeSent{int(identity.CodeLife / time.Second), int(identity.CodePause / time.Second)})
}

type consumerSignIn struct {
	targetAsk
	Code       string `json:"code"`
	WeChatCode string `json:"wechat_code"` // of a mini-program's wx.login, instead of the others
	deviceAsk
}

// consumerMade tells of a new session. A browser's pass is in its cookie alone.
type consumerMade struct {
	Token      string              `json:"token,omitempty"`
	UserID     identity.ConsumerID `json:"user_id"`
	SessionID  identity.SessionID  `json:"session_id"`
	ClientType identity.ClientType `json:"client_type"`
	ExpiresAt  time.Time           `json:"expires_at"`
}

// postSignIn answers POST /api/v1/consumer/signin.
func (c *consumers) postSignIn(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[consumerSignIn](w, r)
	if err != nil {
		return err
	}
	if ask.ClientType == identity.API {
		return identity.ErrBadClient
	}
	if err := c.canOpen(r, ask.deviceAsk); err != nil {
		return err
	}
	o, err := c.enter(r, &ask)
	if err != nil {
		return err
	}
	made := consumerMade{UserID: o.Consumer, SessionID: o.ID, ClientType: o.Client, ExpiresAt: o.ExpiresAt}
	if o.Client == identity.Web {
		http.SetCookie(w, c.cookie(r, o.Token, o.ExpiresAt.Sub(o.CreatedAt)))
	} else {
		made.Token = o.Token
	}
	return done(w, made)
}

var errNoMini = fault.New(fault.Unavailable, "consumer.no_wechat", "this installation has no WeChat mini-program")

func (c *consumers) enter(r *http.Request, ask *consumerSignIn) (o identity.OpenedConsumer, _ error) {
	from := c.device(r, ask.deviceAsk)
	if ask.WeChatCode == "" {
		t, err := identity.ParseTarget(ask.Phone, ask.Email)
		if err != nil {
			return o, err
		}
		return c.svc.SignInConsumer(r.Context(), t, ask.Code, from)
	}
	if c.wechat == nil || c.wechat.MiniAppID == "" {
		return o, errNoMini
	}
	who, err := c.wechat.mini(r.Context(), ask.WeChatCode)
	if err != nil {
		return o, err
	}
	return c.svc.SignInConsumerProvided(r.Context(), who, from)
}

type consumerView struct {
	UserID    identity.ConsumerID `json:"user_id"`
	State     identity.UserState  `json:"state"`
	Phone     *string             `json:"phone"` // masked
	Email     *string             `json:"email"`
	Name      *string             `json:"name"`
	CreatedAt time.Time           `json:"created_at"`
	SeenAt    time.Time           `json:"seen_at"`
}

func (c *consumers) view(r *http.Request, id identity.ConsumerID) (v consumerView, _ error) {
	rec, err := c.svc.ExportConsumer(r.Context(), id)
	if err != nil {
		return v, err
	}
	p := rec.Person.Masked()
	return consumerView{id, rec.Consumer.State, orNothing(p.Phone), orNothing(p.Email), orNothing(p.Name), rec.Consumer.CreatedAt, rec.Consumer.SeenAt}, nil
}

// orNothing is a text that may be absent.
func orNothing(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// getMe answers GET /api/v1/consumer/me.
func (c *consumers) getMe(w http.ResponseWriter, r *http.Request, v *identity.ConsumerVisit) error {
	view, err := c.view(r, v.ID)
	if err != nil {
		return err
	}
	return done(w, view)
}

type consumerRecord struct {
	UserID    identity.ConsumerID `json:"user_id"`
	State     identity.UserState  `json:"state"`
	Phone     *string             `json:"phone"`
	Email     *string             `json:"email"`
	Name      *string             `json:"name"`
	External  *string             `json:"external"` // provider and name there
	CreatedAt time.Time           `json:"created_at"`
	SeenAt    time.Time           `json:"seen_at"`
	Sessions  []sessionView       `json:"sessions"`
}

func (c *consumers) export(w http.ResponseWriter, r *http.Request, id identity.ConsumerID, present identity.SessionID) error {
	rec, err := c.svc.ExportConsumer(r.Context(), id)
	if err != nil {
		return err
	}
	p := rec.Person
	return done(w, consumerRecord{
		id, rec.Consumer.State, orNothing(p.Phone), orNothing(p.Email), orNothing(p.Name), orNothing(p.Login), rec.Consumer.CreatedAt, rec.Consumer.SeenAt,
		viewSessions(rec.Sessions, present).Sessions,
	})
}

// getExport answers GET /api/v1/consumer/export: all that is kept of the caller.
func (c *consumers) getExport(w http.ResponseWriter, r *http.Request, v *identity.ConsumerVisit) error {
	return c.export(w, r, v.ID, v.Session)
}

type identifierAsk struct {
	targetAsk
	Code string `json:"code"`
}

// postIdentifier answers POST /api/v1/consumer/identifiers: another way to the caller's account.
func (c *consumers) postIdentifier(w http.ResponseWriter, r *http.Request, v *identity.ConsumerVisit) error {
	ask, _, err := read[identifierAsk](w, r)
	if err != nil {
		return err
	}
	t, err := identity.ParseTarget(ask.Phone, ask.Email)
	if err != nil {
		return err
	}
	if err := c.svc.AddIdentifier(r.Context(), v.ID, t, ask.Code); err != nil {
		return err
	}
	return c.getMe(w, r, v)
}

type consumerSignOut struct {
	Everywhere bool `json:"everywhere"`
}

// postSignOut answers POST /api/v1/consumer/signout.
func (c *consumers) postSignOut(w http.ResponseWriter, r *http.Request, v *identity.ConsumerVisit) error {
	ask, _, err := read[consumerSignOut](w, r)
	if err != nil {
		return err
	}
	if err := c.svc.SignOutConsumer(r.Context(), v, ask.Everywhere); err != nil {
		return err
	}
	http.SetCookie(w, c.cookie(r, "", -time.Second))
	return done(w, nothing{})
}

// postErase answers POST /api/v1/consumer/erase.
func (c *consumers) postErase(w http.ResponseWriter, r *http.Request, v *identity.ConsumerVisit) error {
	if err := c.svc.EraseConsumer(r.Context(), v.ID); err != nil {
		return err
	}
	http.SetCookie(w, c.cookie(r, "", -time.Second))
	return done(w, nothing{})
}

type consumerList struct {
	Consumers []consumerView `json:"consumers"`
}

// getConsumers answers GET /api/v1/consumers?phone=|email=, exactly.
func (c *consumers) getConsumers(w http.ResponseWriter, r *http.Request) error {
	t, err := identity.ParseTarget(r.URL.Query().Get("phone"), r.URL.Query().Get("email"))
	if err != nil {
		return err
	}
	list := consumerList{[]consumerView{}}
	found, err := c.svc.FindConsumer(r.Context(), t)
	if fault.KindOf(err) == fault.NotFound {
		return done(w, list)
	}
	if err != nil {
		return err
	}
	view, err := c.view(r, found.ID)
	if err != nil {
		return err
	}
	list.Consumers = append(list.Consumers, view)
	return done(w, list)
}

func consumerOf(r *http.Request) (identity.ConsumerID, error) {
	n, err := strconv.ParseInt(r.PathValue("user_id"), 10, 64)
	if err != nil || n <= 0 {
		return 0, identity.ErrUnknownConsumer
	}
	return identity.ConsumerID(n), nil
}

// getConsumerExport answers GET /api/v1/consumers/{user_id}/export.
func (c *consumers) getConsumerExport(w http.ResponseWriter, r *http.Request) error {
	id, err := consumerOf(r)
	if err != nil {
		return err
	}
	return c.export(w, r, id, "")
}

// postConsumerErase answers POST /api/v1/consumers/{user_id}/erase.
func (c *consumers) postConsumerErase(w http.ResponseWriter, r *http.Request) error {
	httpx.Annotate(r.Context(), httpx.Note{Private: true})
	id, err := consumerOf(r)
	if err != nil {
		return err
	}
	if err := c.svc.EraseConsumer(r.Context(), id); err != nil {
		return err
	}
	return done(w, nothing{})
}
