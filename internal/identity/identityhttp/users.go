package identityhttp

import (
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

func (a *api) mountUsers(rt *httpx.Router) {
	const read, manage = "user:read", "user:manage"
	rt.Allow("GET /api/v1/users", read, a.getUsers)
	rt.Allow("POST /api/v1/users", manage, a.postUser)
	rt.Allow("GET /api/v1/users/{user_id}", read, a.getUser)
	rt.Allow("PATCH /api/v1/users/{user_id}", manage, a.patchUser)
	rt.Allow("POST /api/v1/users/{user_id}/reset", manage, a.postReset)
	rt.Allow("GET /api/v1/users/{user_id}/sessions", read, a.getSessions)
	rt.Allow("POST /api/v1/users/{user_id}/sessions/end", manage, a.postEndAll)
	rt.Allow("POST /api/v1/users/{user_id}/erase", manage, a.postErase)
	rt.Allow("GET /api/v1/users/{user_id}/export", manage, a.getExport)
}

// userView masks the person: a list of people need not give away how to reach them.
type userView struct {
	UserID    identity.UserID    `json:"user_id"`
	TenantID  identity.TenantID  `json:"tenant_id"`
	Role      identity.Role      `json:"role"`
	Brands    []ids.BrandID      `json:"brands"` // empty = all of the tenant's
	State     identity.UserState `json:"state"`
	Login     string             `json:"login"` // masked, as the next four are
	Name      string             `json:"name"`
	Email     string             `json:"email"`
	Phone     string             `json:"phone"`
	IDNumber  string             `json:"id_number"`
	TOTP      bool               `json:"totp"`
	Passkeys  int                `json:"passkeys"`
	CreatedAt time.Time          `json:"created_at"`
	ChangedAt time.Time          `json:"changed_at"`
}

func (a *api) viewUser(u *identity.User) (userView, error) {
	person, err := a.svc.Person(u)
	m := person.Masked()
	if u.State == identity.Erased {
		m = identity.Person{}
	}
	return userView{
		u.ID, u.Tenant, u.Role, orEmpty(u.Brands), u.State, m.Login, m.Name, m.Email, m.Phone, m.IDNumber, u.TOTPOn, u.Passkeys,
		u.CreatedAt, u.ChangedAt,
	}, err
}

// noted is what the log of changes keeps of a user: nothing that names the person.
type noted struct {
	Role   identity.Role      `json:"role"`
	Brands []ids.BrandID      `json:"brands"`
	State  identity.UserState `json:"state"`
}

func noteUser(u *identity.User) noted { return noted{u.Role, orEmpty(u.Brands), u.State} }

type userList struct {
	Users  []userView `json:"users"`
	Cursor *string    `json:"cursor"`
}

// getUsers answers GET /api/v1/users: ?tenant_id=, or ?find= with a login, mail address or
// phone number, exactly.
func (a *api) getUsers(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	limit, err := httpx.Page(r, pageUsual, pageMax)
	if err != nil {
		return err
	}
	var all []identity.User
	list := userList{Users: []userView{}}
	if text := q.Get("find"); text != "" {
		all, err = a.svc.FindUser(r.Context(), a.who(r), text)
	} else {
		all, err = a.svc.Users(r.Context(), a.who(r), identity.TenantID(q.Get("tenant_id")), identity.UserID(q.Get("cursor")), limit+1)
	}
	if err != nil {
		return err
	}
	if len(all) > limit {
		all = all[:limit]
		last := string(all[limit-1].ID)
		list.Cursor = &last
	}
	for i := range all {
		v, err := a.viewUser(&all[i])
		if err != nil {
			return err
		}
		list.Users = append(list.Users, v)
	}
	return done(w, list)
}

type userAsk struct {
	Login    string            `json:"login"`
	Name     string            `json:"name"`
	Email    string            `json:"email"`
	Phone    string            `json:"phone"`
	IDNumber string            `json:"id_number"`
	TenantID identity.TenantID `json:"tenant_id"` // the caller's when absent
	Role     identity.Role     `json:"role"`
	Brands   []ids.BrandID     `json:"brands"`
}

// linkMade is given to who passes it on to the person. The token is after the #, which
// browsers send to nobody.
type linkMade struct {
	UserID identity.UserID `json:"user_id"`
	Link   string          `json:"link"`
	Token  string          `json:"token"`
}

func (a *api) linkMade(id identity.UserID, token string) linkMade {
	return linkMade{id, a.url + "/console/#/accept?token=" + token, token}
}

// postUser answers POST /api/v1/users.
func (a *api) postUser(w http.ResponseWriter, r *http.Request) error {
	ask, req, err := read[userAsk](w, r)
	if err != nil {
		return err
	}
	u, token, replayed, err := a.svc.Invite(r.Context(), req, a.who(r), identity.NewUser{
		Person: identity.Person{Login: ask.Login, Name: ask.Name, Email: ask.Email, Phone: ask.Phone, IDNumber: ask.IDNumber},
		Tenant: ask.TenantID, Role: ask.Role, Brands: ask.Brands,
	})
	if err != nil {
		return err
	}
	httpx.Annotate(r.Context(), httpx.Note{Subject: string(u.ID), After: noteUser(&u)})
	return answer(w, replayed, a.linkMade(u.ID, token))
}

func userOf(r *http.Request) identity.UserID { return identity.UserID(r.PathValue("user_id")) }

// getUser answers GET /api/v1/users/{user_id}.
func (a *api) getUser(w http.ResponseWriter, r *http.Request) error {
	u, err := a.svc.User(r.Context(), a.who(r), userOf(r))
	if err != nil {
		return err
	}
	v, err := a.viewUser(&u)
	if err != nil {
		return err
	}
	return done(w, v)
}

type userPatch struct {
	Role     *identity.Role `json:"role"`
	Brands   *[]ids.BrandID `json:"brands"`
	Disabled *bool          `json:"disabled"`
	Name     *string        `json:"name"`
	Email    *string        `json:"email"`
	Phone    *string        `json:"phone"`
	IDNumber *string        `json:"id_number"`
	Reason   string         `json:"reason"`
}

// patchUser answers PATCH /api/v1/users/{user_id}.
func (a *api) patchUser(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[userPatch](w, r)
	if err != nil {
		return err
	}
	before, err := a.svc.User(r.Context(), a.who(r), userOf(r))
	if err != nil {
		return err
	}
	u, err := a.svc.ChangeUser(r.Context(), a.who(r), userOf(r), identity.UserChange{
		Role: ask.Role, Brands: ask.Brands, Disabled: ask.Disabled, Name: ask.Name, Email: ask.Email, Phone: ask.Phone, IDNumber: ask.IDNumber,
	})
	if err != nil {
		return err
	}
	httpx.Annotate(r.Context(), httpx.Note{Before: noteUser(&before), After: noteUser(&u), Reason: ask.Reason})
	v, err := a.viewUser(&u)
	if err != nil {
		return err
	}
	return done(w, v)
}

type resetAsk struct {
	Factors bool   `json:"factors"` // remove authenticator, passkeys and recovery codes too
	Reason  string `json:"reason"`
}

// postReset answers POST /api/v1/users/{user_id}/reset.
func (a *api) postReset(w http.ResponseWriter, r *http.Request) error {
	ask, req, err := read[resetAsk](w, r)
	if err != nil {
		return err
	}
	token, _, err := a.svc.ResetLink(r.Context(), req, a.who(r), userOf(r), ask.Factors)
	if err != nil {
		return err
	}
	httpx.Annotate(r.Context(), httpx.Note{After: ask, Reason: ask.Reason})
	return done(w, a.linkMade(userOf(r), token))
}

// getSessions answers GET /api/v1/users/{user_id}/sessions.
func (a *api) getSessions(w http.ResponseWriter, r *http.Request) error {
	u, err := a.svc.User(r.Context(), a.who(r), userOf(r))
	if err != nil {
		return err
	}
	all, err := a.svc.Sessions(r.Context(), u.ID)
	if err != nil {
		return err
	}
	return done(w, viewSessions(all, a.who(r).Session))
}

// postEndAll answers POST /api/v1/users/{user_id}/sessions/end.
func (a *api) postEndAll(w http.ResponseWriter, r *http.Request) error {
	httpx.Annotate(r.Context(), httpx.Note{Private: true})
	if err := a.svc.SignOutAll(r.Context(), a.who(r), userOf(r)); err != nil {
		return err
	}
	return done(w, nothing{})
}

// postErase answers POST /api/v1/users/{user_id}/erase.
func (a *api) postErase(w http.ResponseWriter, r *http.Request) error {
	httpx.Annotate(r.Context(), httpx.Note{Private: true})
	u, err := a.svc.Erase(r.Context(), a.who(r), userOf(r))
	if err != nil {
		return err
	}
	v, err := a.viewUser(&u)
	if err != nil {
		return err
	}
	return done(w, v)
}

// exportView is everything that is kept of a person, unmasked.
type exportView struct {
	UserID    identity.UserID    `json:"user_id"`
	TenantID  identity.TenantID  `json:"tenant_id"`
	Role      identity.Role      `json:"role"`
	State     identity.UserState `json:"state"`
	Person    identity.Person    `json:"person"`
	CreatedAt time.Time          `json:"created_at"`
	Sessions  []sessionView      `json:"sessions"`
	Passkeys  []passkeyView      `json:"passkeys"`
}

// getExport answers GET /api/v1/users/{user_id}/export.
func (a *api) getExport(w http.ResponseWriter, r *http.Request) error {
	rec, err := a.svc.Export(r.Context(), a.who(r), userOf(r))
	if err != nil {
		return err
	}
	u := &rec.User
	return done(w, exportView{
		u.ID, u.Tenant, u.Role, u.State, rec.Person, u.CreatedAt, viewSessions(rec.Sessions, "").Sessions,
		each(rec.Passkeys, func(k identity.Passkey) passkeyView { return passkeyView{k.ID, k.Name, k.CreatedAt, orNull(k.UsedAt)} }),
	})
}
