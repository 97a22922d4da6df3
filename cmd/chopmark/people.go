package main

import (
	"time"

	"github.com/chopmark/chopmark/internal/app"
)

// peopleFlags are for those who sign in.
type peopleFlags struct {
	SessionLife    time.Duration `default:"30m" placeholder:"TIME" help:"A session ends when it was not used for so long (${default})."`
	SessionLongest time.Duration `default:"24h" placeholder:"TIME" help:"A session ends after so long in any case (${default})."`
	SessionRenewal string        `default:"always" enum:"always,writes" help:"always: every request keeps a session alive; writes: only changes do."`
	Sessions       []string      `placeholder:"TYPE=POLICY:N" help:"What a further sign-in of a client type does: app=replace:1, web=allow:20, api=refuse:5."`

	OIDCIssuer       string   `name:"oidc-issuer" placeholder:"URL" help:"Sign in by way of this provider (OpenID Connect)."`
	OIDCClientID     string   `name:"oidc-client-id" placeholder:"ID" help:"Our name there."`
	OIDCClientSecret string   `name:"oidc-client-secret" env:"CHOPMARK_OIDC_CLIENT_SECRET" hidden:"" help:"Our secret there; by the environment."`
	OIDCGroups       string   `name:"oidc-groups" default:"groups" placeholder:"CLAIM" help:"Which claim lists groups (${default})."`
	OIDCRole         []string `name:"oidc-role" placeholder:"GROUP=ROLE" help:"What members of a group may do; the first that fits."`
	OIDCTenant       string   `name:"oidc-tenant" placeholder:"ID" help:"Whose people these are; else the platform's."`
}

func (f *peopleFlags) config() app.PeopleConfig {
	return app.PeopleConfig{
		SessionLife: f.SessionLife, SessionLongest: f.SessionLongest, SessionRenewal: f.SessionRenewal, Sessions: f.Sessions,
		OIDC: app.OIDCConfig{
			Issuer: f.OIDCIssuer, ClientID: f.OIDCClientID, ClientSecret: f.OIDCClientSecret, GroupsClaim: f.OIDCGroups, Roles: f.OIDCRole, Tenant: f.OIDCTenant,
		},
	}
}
