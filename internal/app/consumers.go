package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identityhttp"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/notify"
	"github.com/chopmark/chopmark/internal/notify/notifyhttp"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/egress"
	"github.com/chopmark/chopmark/internal/platform/mail"
)

// ConsumersConfig is what an operator may set for the accounts of those who scan.
type ConsumersConfig struct {
	Life            time.Duration // of a pass; a session that is used is moved on; 0 = 30 days
	Longest         time.Duration // of a session; 0 = 365 days
	SMTP            string        // "" = no mail
	SMTPPassword    string
	MailFrom        string
	SMSURL          string // of a gateway; "" = no text messages
	SMSSecret       string
	SMSPrefixes     []string
	CodesPerDay     int64 // of one way; 0 = the usual
	CodesPerNetwork int64

	OIDCIssuer, OIDCClientID, OIDCClientSecret string
	WeChat                                     identityhttp.WeChat
}

func (c *ConsumersConfig) check() error {
	switch {
	case c.Life < 0 || c.Longest < 0 || c.CodesPerDay < 0 || c.CodesPerNetwork < 0:
		return usage("consumer-session", "and the numbers of codes cannot be below zero")
	case c.SMSURL != "" && len(c.SMSPrefixes) == 0:
		return usage("sms-prefix", "is needed with --sms-url: which countries' numbers are written to, such as +86")
	case c.OIDCIssuer != "" && c.OIDCClientID == "":
		return usage("consumer-oidc-issuer", "needs --consumer-oidc-client-id")
	case (c.WeChat.AppID == "") != (c.WeChat.Secret == "") || (c.WeChat.MiniAppID == "") != (c.WeChat.MiniSecret == ""):
		return usage("wechat-app", "and --wechat-miniapp each need their secret: CHOPMARK_WECHAT_SECRET, CHOPMARK_WECHAT_MINIAPP_SECRET")
	}
	for _, p := range c.SMSPrefixes {
		if digits, ok := strings.CutPrefix(p, "+"); !ok || digits == "" || strings.Trim(digits, "0123456789") != "" {
			return usage("sms-prefix", "%q is not such as +86", p)
		}
	}
	_, err := c.senders(nil)
	return err
}

// senders are the ways that are set up.
func (c *ConsumersConfig) senders(clk clock.Clock) (map[identity.Channel]identity.Sender, error) {
	all := map[identity.Channel]identity.Sender{}
	if c.SMTP != "" {
		m, err := mail.New(mail.Config{URL: c.SMTP, Password: c.SMTPPassword, From: c.MailFrom, Clock: clk})
		if err != nil {
			return nil, usage("smtp", "with --mail-from: %v", err)
		}
		all[identity.Mail] = codeMail{m}
	}
	if c.SMSURL != "" {
		u, err := url.Parse(c.SMSURL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			return nil, usage("sms-url", "must be https:// and a host")
		}
		if u.Scheme == "http" && !isLoopbackHost(u.Hostname()) {
			return nil, usage("sms-url", "must be https://: codes cross no network in the clear")
		}
		secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(c.SMSSecret, "whsec_"))
		if err != nil || len(secret) != len(notify.Secret{}) {
			return nil, usage("sms-url", "needs CHOPMARK_SMS_SECRET: whsec_ and 32 bytes as base64, which the gateway checks signatures with")
		}
		all[identity.SMS] = smsGateway{c.SMSURL, notify.Secret(secret), notifyhttp.NewSender(egress.New(true)), clk} // the operator named it
	}
	return all, nil
}

func isLoopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// codeMail sends codes by mail.
type codeMail struct{ client *mail.Client }

// Send implements identity.Sender.
func (m codeMail) Send(ctx context.Context, to, code, lang string) error {
	minutes := int(identity.CodeLife / time.Minute)
	if lang == "zh" {
		return m.client.Send(ctx, to, "您的验证码", fmt.Sprintf("您的验证码是 %s，%d 分钟内有效。\n如果不是您本人操作，请忽略本邮件，并且不要把验证码告诉任何人。\n", code, minutes))
	}
	return m.client.Send(ctx, to, "Your code", fmt.Sprintf("Your code is %s. It is good for %d minutes.\nIf you did not ask for it, ignore this message and tell nobody the code.\n", code, minutes))
}

// smsGateway posts codes to what sends text messages, signed as webhooks are (Standard
// Webhooks). The gateway has the words: carriers want them approved.
type smsGateway struct {
	url    string
	secret notify.Secret
	sender *notifyhttp.Sender
	clock  clock.Clock
}

// Send implements identity.Sender.
func (g smsGateway) Send(ctx context.Context, to, code, lang string) error {
	body, err := json.Marshal(map[string]any{"to": to, "code": code, "lang": lang, "minutes": int(identity.CodeLife / time.Minute)})
	if err != nil {
		return err
	}
	id, at := ids.New("msg"), g.clock.Now()
	return g.sender.Post(ctx, g.url, &notify.Post{
		ID: id, At: at, Body: body, ContentType: "application/json", Signature: g.secret.Sign(id, at, body), SignedAs: "Webhook-Signature",
	})
}

// consumerDoors are the providers by which those who scan sign in.
func (a *App) consumerDoors() (d identityhttp.ConsumerDoors) {
	c := &a.People.Consumers
	if c.OIDCIssuer != "" {
		d.Provider = &identityhttp.Provider{Issuer: c.OIDCIssuer, ClientID: c.OIDCClientID, ClientSecret: c.OIDCClientSecret, Now: a.clock.Now}
	}
	if c.WeChat.AppID != "" || c.WeChat.MiniAppID != "" {
		d.WeChat = &c.WeChat
	}
	return d
}

// passes tells scans who is signed in. An edge hears which sessions have ended from the process
// that it joins.
func (a *App) passes() *identity.Passes {
	if a.identity != nil {
		return a.identity.Passes()
	}
	return a.edge.passes
}
