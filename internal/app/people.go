package app

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/chopmark/chopmark"
	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identityhttp"
	"github.com/chopmark/chopmark/internal/identity/identitysql"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/argon"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// PeopleConfig is what an operator may set for those who sign in.
type PeopleConfig struct {
	SessionLife    time.Duration // without use; 0 = 30 min
	SessionLongest time.Duration // in any case; 0 = 24 h
	SessionRenewal string        // "always" or "writes"; "" = always
	Sessions       []string      // "app=replace:1": what a further sign-in of a client type does
	OIDC           OIDCConfig
	Consumers      ConsumersConfig
	LDAP           LDAPConfig

	// Deriver is a program that runs argon.Serve; none: passwords are hashed in this process.
	Deriver []string

	KeepSessions, KeepApprovals, KeepConsumers, KeepAudit int // days; 0 = the usual
}

// OIDCConfig is one provider of identities.
type OIDCConfig struct {
	Issuer, ClientID, ClientSecret string
	GroupsClaim                    string
	Roles                          []string // "group=role"
	Tenant                         string
}

// identityConfig reads the settings.
func (c *Config) identityConfig() (identity.Config, error) {
	cfg := identity.Config{
		Life: c.People.SessionLife, Longest: c.People.SessionLongest, Renewal: identity.Renewal(c.People.SessionRenewal),
		Conflicts: map[identity.ClientType]identity.Conflict{}, Hashing: max(1, runtime.GOMAXPROCS(0)/2), Shared: c.SQL != "",
	}
	for _, text := range c.People.Sessions {
		client, rule, ok := strings.Cut(text, "=")
		policy, most, hasMost := strings.Cut(rule, ":")
		one := identity.Conflict{Policy: identity.ConflictPolicy(policy), Max: 1}
		if hasMost {
			if _, err := fmt.Sscanf(most, "%d", &one.Max); err != nil {
				ok = false
			}
		}
		switch one.Policy {
		case identity.Allow, identity.Replace, identity.Refuse:
		default:
			ok = false
		}
		if !ok || one.Max < 1 || one.Max > identity.SessionsPerUser {
			return cfg, usage("sessions", "%q is not such as app=replace:1 (allow, replace or refuse; at most %d)", text, identity.SessionsPerUser)
		}
		cfg.Conflicts[identity.ClientType(client)] = one
	}
	switch cfg.Renewal {
	case "", identity.RenewAlways, identity.RenewWrites:
	default:
		return cfg, usage("session-renewal", "must be always or writes")
	}
	if err := errors.Join(c.People.OIDC.check(), c.People.Consumers.check()); err != nil {
		return cfg, err
	}
	elsewhere, err := c.People.LDAP.directory()
	if err != nil {
		return cfg, err
	}
	cfg.Elsewhere = elsewhere
	if cfg.Keep, err = c.People.keep(); err != nil {
		return cfg, err
	}
	for client := range cfg.Conflicts {
		if !isClientType(client) {
			return cfg, usage("sessions", "%q is no client type: web, app, miniapp, api", client)
		}
	}
	return cfg, nil
}

func isClientType(c identity.ClientType) bool {
	return slices.Contains(identity.ClientTypes(), c)
}

// openIdentity opens who may act.
func (a *App) openIdentity(ctx context.Context) error {
	cfg, err := a.identityConfig()
	if err != nil {
		return err
	}
	cfg.PassKeys, cfg.Requests = a.keys.passKeys, drawnRequests{a}
	cfg.Consumers = identity.ConsumerConfig{
		Life: a.People.Consumers.Life, Longest: a.People.Consumers.Longest, Prefixes: a.People.Consumers.SMSPrefixes,
		PerDay: a.People.Consumers.CodesPerDay, PerNet: a.People.Consumers.CodesPerNetwork,
	}
	if cfg.Consumers.Senders, err = a.People.Consumers.senders(a.clock); err != nil {
		return err
	}
	if len(a.People.Deriver) > 0 {
		aside := argon.NewAside(a.People.Deriver, cfg.Hashing, a.log)
		cfg.Derive = aside.Derive
		a.closers = append(a.closers, aside.Close)
	}
	store, secrets := identitysql.New(a.db, a.clock), a.keys.peopleKeys()
	if secrets.Keeper, err = a.keeper(ctx, store); err != nil {
		return err
	}
	a.identity, err = identity.NewService(ctx, cfg, store, secrets, a.clock, a.log)
	if err != nil {
		return err
	}
	a.closers = append(a.closers, func() error { return a.identity.Close(context.WithoutCancel(ctx)) })
	a.work.Go(func() { a.identity.Follow(a.background) })
	a.hearPeople()
	return nil
}

// hearPeople lets a change that another process has committed count at once; without Redis it counts
// with the next poll.
func (a *App) hearPeople() {
	if a.shared == nil {
		return
	}
	a.identity.Told(func() { a.shared.redis.Tell(channelPeople) })
	a.work.Go(func() { a.shared.redis.Hear(a.background, channelPeople, a.identity.Wake) })
}

const channelPeople = "chopmark:session:invalidated"

// control lets tenants bound what is done with their brands.
func (a *App) control() batch.Control {
	return batch.Control{
		TakeCodes: a.identity.IssueCodes,
		Hold: func(ctx context.Context, r ids.Request, h batch.Held) (string, bool, error) {
			if httpx.CallerOf(ctx).ID == "" { // the program's own work
				return "", false, nil
			}
			return a.identity.Hold(ctx, r, identityhttp.Who(ctx, a.identity), identity.Approval{
				Brand: h.Brand, Kind: h.To.String(), Items: h.Items, Reason: h.Reason, Body: h.Spec,
			})
		},
	}
}

// approved makes a change that a second person agreed to, once for each approval.
func (a *App) approved(ctx context.Context, v identity.Approval, by string) (string, error) {
	cmd := batch.Command{
		Request: ids.Request{Key: sha256.Sum256([]byte("approval\x00" + v.ID)), Body: sha256.Sum256(v.Body)},
		Actor:   v.AskedBy + ", approved by " + by,
	}
	c, err := a.Batches.ApproveChange(ctx, cmd, v.Body)
	return string(c.ID), err
}

// document serves docs/openapi.yaml as JSON.
func document() httpx.Handler {
	render := sync.OnceValues(func() (json.RawMessage, error) {
		var doc any
		if err := yaml.Unmarshal(chopmark.OpenAPI, &doc); err != nil {
			return nil, fmt.Errorf("read the document: %w", err)
		}
		return json.Marshal(doc)
	})
	return func(w http.ResponseWriter, _ *http.Request) error {
		doc, err := render()
		if err != nil {
			return err
		}
		return httpx.JSON(w, http.StatusOK, doc)
	}
}

// brandMade gives a brand to the tenant of who made it.
func (a *App) brandMade(ctx context.Context, b ids.BrandID) error {
	return a.identity.BrandMade(ctx, identityhttp.Who(ctx, a.identity), b)
}

// people adds the routes of those who sign in.
func (a *App) people(stopping context.Context, rt *httpx.Router) {
	rt.Public("GET /api/v1/openapi.json", document())
	identityhttp.Mount(rt, identityhttp.Deps{
		Service: a.identity, Auth: identityhttp.NewAuthenticator(a.identity, a.proxies, a.quotas), Proxies: a.proxies, PublicURL: a.consoleURL(),
		Change: a.approved, Stopping: stopping, Provider: a.provider(), Consumers: a.consumerDoors(), Log: a.log,
		Brand: func(ctx context.Context, b ids.BrandID) error {
			_, err := a.Batches.Brand(ctx, b)
			return err
		},
	})
}

// provider is the one of --oidc-issuer; nil = none.
func (a *App) provider() *identityhttp.Provider {
	o := &a.People.OIDC
	if o.Issuer == "" {
		return nil
	}
	p := &identityhttp.Provider{
		Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: o.ClientSecret, GroupsClaim: cmp.Or(o.GroupsClaim, "groups"),
		Tenant: identity.TenantID(cmp.Or(o.Tenant, string(identity.Platform))), Now: a.clock.Now,
	}
	for _, text := range o.Roles {
		group, role, _ := strings.Cut(text, "=")
		p.Roles = append(p.Roles, identityhttp.GroupRole{Group: group, Role: identity.Role(role)})
	}
	return p
}

// check is the rule for what cannot work.
func (o *OIDCConfig) check() error {
	if o.Issuer == "" {
		return nil
	}
	if o.ClientID == "" || len(o.Roles) == 0 {
		return usage("oidc-issuer", "needs --oidc-client-id and at least one --oidc-role GROUP=ROLE")
	}
	for _, text := range o.Roles {
		if group, role, ok := strings.Cut(text, "="); !ok || group == "" || role == "" {
			return usage("oidc-role", "%q is not GROUP=ROLE", text)
		}
	}
	return nil
}

// consoleURL is where people sign in: passkeys and links name it.
func (a *App) consoleURL() string {
	if a.PublicURL != "" {
		return strings.TrimSuffix(a.PublicURL, "/")
	}
	return a.localURL()
}

// quotas counts a request against what the caller's tenant may ask.
func (a *App) quotas(p *identity.Principal) error {
	if p.Quota == (identity.Quota{}) {
		return nil
	}
	return a.guard.Spend(holder(p.Tenant), p.Quota.PerSecond, p.Quota.PerDay)
}

// holder is what a tenant is counted as.
func holder(t identity.TenantID) uint64 {
	sum := sha256.Sum256([]byte(t))
	return binary.BigEndian.Uint64(sum[:])
}

// drawnRequests shows to identity what tenants have drawn of their days.
type drawnRequests struct{ app *App }

var _ identity.Requests = drawnRequests{}

// Drawn implements identity.Requests.
func (r drawnRequests) Drawn(t identity.TenantID) time.Time {
	return r.app.clock.Now().Add(r.app.guard.Spent(holder(t)))
}

// Draw implements identity.Requests.
func (r drawnRequests) Draw(t identity.TenantID, until time.Time) {
	r.app.guard.Draw(holder(t), until.Sub(r.app.clock.Now()))
}

// keep reads how long is kept what is of people. Each has a floor, below which what others
// rely on would be missing, and a ceiling, beyond which nobody has a reason.
func (c *PeopleConfig) keep() (k identity.Keep, _ error) {
	const day = 24 * time.Hour
	for _, one := range []struct {
		flag             string
		days, floor, top int
		to               *time.Duration
	}{
		{"keep-sessions", c.KeepSessions, 1, 365, &k.Sessions}, {"keep-approvals", c.KeepApprovals, 30, 3650, &k.Approvals},
		{"keep-consumers", c.KeepConsumers, 90, 3650, &k.Consumers}, {"keep-audit", c.KeepAudit, 365, 3650, &k.Audit},
	} {
		if one.days != 0 && (one.days < one.floor || one.days > one.top) {
			return k, usage(one.flag, "must be between %d and %d days", one.floor, one.top)
		}
		*one.to = time.Duration(one.days) * day
	}
	return k, nil
}
