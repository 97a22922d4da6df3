package main

import (
	"os"
	"runtime"
	"time"

	"github.com/chopmark/chopmark/internal/app"
	"github.com/chopmark/chopmark/internal/identity/identityhttp"
	"github.com/chopmark/chopmark/internal/platform/argon"
)

// peopleFlags are for those who sign in.
type peopleFlags struct {
	SessionLife    time.Duration `default:"30m" placeholder:"TIME" help:"A session ends when it was not used for so long (${default})."`
	SessionLongest time.Duration `default:"24h" placeholder:"TIME" help:"A session ends after so long in any case (${default})."`
	SessionRenewal string        `default:"always" enum:"always,writes" help:"always: every request keeps a session alive; writes: only changes do."`
	Sessions       []string      `placeholder:"TYPE=POLICY:N" help:"What a further sign-in of a client type does: app=replace:1, web=allow:20, api=refuse:5."`

	KeepSessions  int `default:"30" placeholder:"N" help:"How many days ended sessions are kept (${default}; 1 to 365)."`
	KeepApprovals int `default:"730" placeholder:"N" help:"How many days decided approvals are kept (${default}; 30 to 3650)."`
	KeepAudit     int `default:"0" placeholder:"N" help:"How many days the log of changes is kept (365 to 3650); 0: for good."`
	KeepConsumers int `default:"0" placeholder:"N" help:"Erase consumers who did not sign in for so many days (90 to 3650); 0: never."`

	OIDCIssuer       string   `name:"oidc-issuer" placeholder:"URL" help:"Sign in by way of this provider (OpenID Connect)."`
	OIDCClientID     string   `name:"oidc-client-id" placeholder:"ID" help:"Our name there."`
	OIDCClientSecret string   `name:"oidc-client-secret" env:"CHOPMARK_OIDC_CLIENT_SECRET" hidden:"" help:"Our secret there; by the environment."`
	OIDCGroups       string   `name:"oidc-groups" default:"groups" placeholder:"CLAIM" help:"Which claim lists groups (${default})."`
	OIDCRole         []string `name:"oidc-role" placeholder:"GROUP=ROLE" help:"What members of a group may do; the first that fits."`
	OIDCTenant       string   `name:"oidc-tenant" placeholder:"ID" help:"Whose people these are; else the platform's."`

	consumerFlags
	ldapFlags
}

func (f *peopleFlags) config() app.PeopleConfig {
	return app.PeopleConfig{
		SessionLife: f.SessionLife, SessionLongest: f.SessionLongest, SessionRenewal: f.SessionRenewal, Sessions: f.Sessions,
		KeepSessions: f.KeepSessions, KeepApprovals: f.KeepApprovals, KeepConsumers: f.KeepConsumers, KeepAudit: f.KeepAudit,
		Consumers: f.consumerFlags.config(), LDAP: f.ldapFlags.config(),
		OIDC: app.OIDCConfig{
			Issuer: f.OIDCIssuer, ClientID: f.OIDCClientID, ClientSecret: f.OIDCClientSecret, GroupsClaim: f.OIDCGroups, Roles: f.OIDCRole, Tenant: f.OIDCTenant,
		},
	}
}

// consumerFlags are for the accounts of those who scan.
type consumerFlags struct {
	ConsumerSession time.Duration `default:"720h" placeholder:"TIME" help:"A consumer who does not come back stays signed in for so long (${default})."`
	ConsumerLongest time.Duration `default:"8760h" placeholder:"TIME" help:"A consumer signs in again after so long in any case (${default})."`
	SMTP            string        `name:"smtp" placeholder:"URL" help:"Send codes by mail: smtp://user@host:587 or smtps://user@host:465."`
	SMTPPassword    string        `name:"smtp-password" env:"CHOPMARK_SMTP_PASSWORD" hidden:"" help:"By the environment."`
	MailFrom        string        `placeholder:"ADDRESS" help:"Who mail comes from."`
	SMSURL          string        `name:"sms-url" placeholder:"URL" help:"Send codes by text message: a gateway that takes signed posts."`
	SMSSecret       string        `name:"sms-secret" env:"CHOPMARK_SMS_SECRET" hidden:"" help:"By the environment."`
	SMSPrefix       []string      `name:"sms-prefix" placeholder:"+CC" help:"Whose numbers are written to: +86. Needed with --sms-url."`
	CodesPerDay     int64         `default:"20000" placeholder:"N" help:"Codes of one way on a day, to everybody (${default})."`
	CodesPerNetwork int64         `default:"200" placeholder:"N" help:"Codes that one network asks for on a day (${default})."`

	ConsumerOIDCIssuer       string `name:"consumer-oidc-issuer" placeholder:"URL" help:"Consumers sign in by way of this provider (OpenID Connect)."`
	ConsumerOIDCClientID     string `name:"consumer-oidc-client-id" placeholder:"ID" help:"Our name there."`
	ConsumerOIDCClientSecret string `name:"consumer-oidc-client-secret" env:"CHOPMARK_CONSUMER_OIDC_CLIENT_SECRET" hidden:"" help:"By the environment."`
	WeChatApp                string `name:"wechat-app" placeholder:"APPID" help:"Consumers sign in by WeChat: our website's AppID."`
	WeChatSecret             string `name:"wechat-secret" env:"CHOPMARK_WECHAT_SECRET" hidden:"" help:"By the environment."`
	WeChatMiniapp            string `name:"wechat-miniapp" placeholder:"APPID" help:"The AppID of our mini-program."`
	WeChatMiniappSecret      string `name:"wechat-miniapp-secret" env:"CHOPMARK_WECHAT_MINIAPP_SECRET" hidden:"" help:"By the environment."`
	WeChatOpen               string `name:"wechat-open" default:"https://open.weixin.qq.com" hidden:"" help:"Where WeChat's pages are."`
	WeChatAPI                string `name:"wechat-api" default:"https://api.weixin.qq.com" hidden:"" help:"Where WeChat's API is."`
}

func (f *consumerFlags) config() app.ConsumersConfig {
	return app.ConsumersConfig{
		Life: f.ConsumerSession, Longest: f.ConsumerLongest, SMTP: f.SMTP, SMTPPassword: f.SMTPPassword, MailFrom: f.MailFrom, SMSURL: f.SMSURL, SMSSecret: f.SMSSecret,
		SMSPrefixes: f.SMSPrefix, CodesPerDay: f.CodesPerDay, CodesPerNetwork: f.CodesPerNetwork,
		OIDCIssuer: f.ConsumerOIDCIssuer, OIDCClientID: f.ConsumerOIDCClientID, OIDCClientSecret: f.ConsumerOIDCClientSecret,
		WeChat: identityhttp.WeChat{
			AppID: f.WeChatApp, Secret: f.WeChatSecret, MiniAppID: f.WeChatMiniapp, MiniSecret: f.WeChatMiniappSecret, Open: f.WeChatOpen, API: f.WeChatAPI,
		},
	}
}

// ldapFlags name a directory of people.
type ldapFlags struct {
	LDAPURL         string   `name:"ldap-url" placeholder:"URL" help:"Sign in by this directory: ldaps://host, or ldap://host with StartTLS."`
	LDAPCA          string   `name:"ldap-ca" placeholder:"FILE" help:"Trust the authorities of this file there, and no others."`
	LDAPBindDN      string   `name:"ldap-bind-dn" placeholder:"DN" help:"Who searches; else nobody in particular."`
	LDAPBindPass    string   `name:"ldap-bind-password" env:"CHOPMARK_LDAP_BIND_PASSWORD" hidden:"" help:"By the environment."`
	LDAPUsers       string   `name:"ldap-users" placeholder:"DN" help:"Below which people are."`
	LDAPUserFilter  string   `name:"ldap-user-filter" placeholder:"FILTER" help:"Finds a person: (uid={login})."`
	LDAPGroups      string   `name:"ldap-groups" placeholder:"DN" help:"Below which groups are; else memberOf tells them."`
	LDAPGroupFilter string   `name:"ldap-group-filter" placeholder:"FILTER" help:"Finds a person's groups: (member={dn})."`
	LDAPID          string   `name:"ldap-id" placeholder:"ATTRIBUTE" help:"Names a person for good: entryUUID, objectGUID."`
	LDAPRole        []string `name:"ldap-role" placeholder:"GROUP=ROLE" sep:"none" help:"What members of a group may do; the first that fits."`
	LDAPTenant      string   `name:"ldap-tenant" placeholder:"ID" help:"Whose people these are; else the platform's."`
}

func (f *ldapFlags) config() app.LDAPConfig {
	return app.LDAPConfig{
		URL: f.LDAPURL, CA: f.LDAPCA, BindDN: f.LDAPBindDN, BindPassword: f.LDAPBindPass, Users: f.LDAPUsers, UserFilter: f.LDAPUserFilter,
		Groups: f.LDAPGroups, GroupFilter: f.LDAPGroupFilter, ID: f.LDAPID, Roles: f.LDAPRole, Tenant: f.LDAPTenant,
	}
}

// deriveKeysCmd is the process in which passwords are hashed.
type deriveKeysCmd struct{}

// Run answers until the server closes its end. A signal, which a terminal sends to both, ends the server alone.
func (deriveKeysCmd) Run() error {
	return argon.Serve(os.Stdin, os.Stdout)
}

// deriver is how the server starts that process: this very program, also after its file was replaced.
func deriver() []string {
	program := "/proc/self/exe"
	if runtime.GOOS != "linux" {
		var err error
		if program, err = os.Executable(); err != nil {
			return nil // in the server itself
		}
	}
	return []string{program, "derive-keys"}
}
