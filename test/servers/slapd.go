package servers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// LDAP is a directory of some people and groups.
type LDAP struct {
	URL, TLSURL string // in the clear with StartTLS, and TLS from the start
	CA          string
}

// slapdConf is a server with a directory of its own: who is nobody may search, and see no
// password.
const slapdConf = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile %[1]s/slapd.pid
TLSCACertificateFile %[2]s
TLSCertificateFile %[3]s
TLSCertificateKeyFile %[4]s
access to attrs=userPassword by anonymous auth by * none
access to * by * read
database mdb
suffix "dc=example,dc=com"
rootdn "cn=root,dc=example,dc=com"
rootpw root-secret
directory %[1]s/db
`

// slapdPeople has two who answer to one mail address, and one without a password.
const slapdPeople = `dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit
ou: groups
`

// StartLDAP starts slapd with people "uid password group…".
func StartLDAP(t testing.TB, people ...string) *LDAP {
	t.Helper()
	needs(t, "slapd", "slapd", "slapadd")
	f := Certificate(t)
	dir, err := os.MkdirTemp("", "chopmark-slapd-") //nolint:usetesting // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	conf, ldif := filepath.Join(dir, "slapd.conf"), filepath.Join(dir, "people.ldif")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(conf, fmt.Sprintf(slapdConf, dir, f.CA, f.Cert, f.Key))
	write(ldif, slapdPeople+entries(people))
	if out, err := exec.CommandContext(t.Context(), pathOf("slapadd"), "-f", conf, "-l", ldif).CombinedOutput(); err != nil {
		t.Fatalf("fill the directory: %v: %s", err, out)
	}
	plain, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	secure, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	l := &LDAP{URL: "ldap://127.0.0.1:" + plain, TLSURL: "ldaps://127.0.0.1:" + secure, CA: f.CA}
	p, err := start(dir, "slapd", "-d", "0", "-f", conf, "-h", l.URL+" "+l.TLSURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	if err := redisWait("slapd at "+l.URL, func() error {
		conn, err := net.Dial("tcp", "127.0.0.1:"+plain)
		if err == nil {
			err = conn.Close()
		}
		return err
	}); err != nil {
		t.Fatal(err, p.log())
	}
	return l
}

func entries(people []string) string {
	var b strings.Builder
	members := map[string][]string{}
	for _, p := range people {
		words := strings.Fields(p)
		dn := "uid=" + words[0] + ",ou=people,dc=example,dc=com"
		fmt.Fprintf(&b, "\ndn: %s\nobjectClass: inetOrgPerson\nuid: %s\ncn: Name of %s\nsn: x\nmail: %s@example.com\nmail: shared@example.com\n", dn, words[0], words[0], words[0])
		if words[1] != "-" {
			fmt.Fprintf(&b, "userPassword: %s\n", words[1])
		}
		for _, g := range words[2:] {
			members[g] = append(members[g], dn)
		}
	}
	for g, dns := range members {
		fmt.Fprintf(&b, "\ndn: cn=%s,ou=groups,dc=example,dc=com\nobjectClass: groupOfNames\ncn: %s\n", g, g)
		for _, dn := range dns {
			fmt.Fprintf(&b, "member: %s\n", dn)
		}
	}
	return b.String()
}
