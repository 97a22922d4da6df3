package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/app"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/mtls"
)

// roleFlags say what a process runs, and how it finds and trusts the others.
type roleFlags struct {
	Target     string        `default:"all" placeholder:"LIST" help:"Roles of this process: all, or some of edge, issue, worker (${default})."`
	Join       string        `placeholder:"URL" help:"For an edge: https://host:port of a process with --role-listen."`
	RoleListen string        `placeholder:"ADDR" help:"For processes of other roles; off by default."`
	RoleCert   string        `placeholder:"FILE" help:"This process's certificate between roles, PEM."`
	RoleKey    string        `placeholder:"FILE" help:"Its private key, PEM, mode 0600."`
	RoleCA     string        `name:"role-ca" placeholder:"FILE" help:"The authority of roles, PEM."`
	StaleAfter time.Duration `default:"60s" placeholder:"TIME" help:"An edge confirms nothing once what it knows of changes is older (${default})."`
}

func (f *roleFlags) config() app.RoleConfig {
	return app.RoleConfig{
		Target: f.Target, Join: f.Join, RoleListen: f.RoleListen, RoleCert: f.RoleCert, RoleKey: f.RoleKey, RoleCA: f.RoleCA, StaleAfter: f.StaleAfter,
	}
}

type keysCACmd struct {
	Out string `required:"" placeholder:"DIR" help:"Where to write ca.pem and ca-key.pem."`
}

// Run makes an authority of roles.
func (k *keysCACmd) Run() error {
	if err := mtls.NewAuthority(k.Out, clock.System{}.Now()); err != nil {
		return err
	}
	fmt.Printf("%s is for every process (--role-ca); keep ca-key.pem apart: who has it can join\n", filepath.Join(k.Out, "ca.pem"))
	return nil
}

type keysRoleCertCmd struct {
	CA   string        `name:"ca" required:"" placeholder:"DIR" help:"What \"keys ca\" wrote."`
	Name string        `required:"" placeholder:"NAME" help:"Of the process: edge-1."`
	Role []string      `placeholder:"LIST" help:"Its roles: all, edge, issue, worker. Default: the name up to its first hyphen."`
	Life time.Duration `default:"17520h" placeholder:"TIME" help:"How long it is good (${default})."`
	Out  string        `required:"" placeholder:"DIR" help:"Where to write NAME.pem, NAME-key.pem and a copy of ca.pem."`
}

// Run makes a certificate.
func (k *keysRoleCertCmd) Run(context.Context) error {
	if len(k.Role) == 0 {
		role, _, _ := strings.Cut(k.Name, "-")
		k.Role = []string{role}
	}
	for _, role := range k.Role {
		switch app.Role(role) {
		case app.RoleAll, app.RoleEdge, app.RoleIssue, app.RoleWorker:
		default:
			return fault.Field("usage", "role", "%q is no role: name some of all, edge, issue, worker", role)
		}
	}
	if k.Life <= 0 {
		return fault.Field("usage", "life", "must be positive")
	}
	if err := mtls.Issue(k.CA, k.Out, mtls.Grant{Name: k.Name, Roles: k.Role, Life: k.Life}, clock.System{}.Now()); err != nil {
		return err
	}
	at := filepath.Join(k.Out, k.Name)
	fmt.Printf("--role-cert %s.pem --role-key %s-key.pem --role-ca %s\n", at, at, filepath.Join(k.Out, "ca.pem"))
	return nil
}
