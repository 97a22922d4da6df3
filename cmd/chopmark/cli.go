package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"github.com/chopmark/chopmark/internal/app"
	"github.com/chopmark/chopmark/internal/platform/obs"
)

// cli is the command line. A flag wins over CHOPMARK_… in the environment, which
// wins over the file of --config.
type cli struct {
	Serve    serveCmd    `cmd:"" default:"withargs" help:"Run the server (default)."`
	Issue    issueCmd    `cmd:"" help:"Issue codes and write them to a file."`
	Export   exportCmd   `cmd:"" help:"Write a batch's codes to a file."`
	Verify   verifyCmd   `cmd:"" help:"Look at a code as a scan would, without counting."`
	State    stateCmd    `cmd:"" help:"Move items to a state."`
	Line     lineCmd     `cmd:"" help:"Open, fill, close and show cases and pallets, as a packing line does."`
	Keys     keysCmd     `cmd:"" help:"List, rotate, export and import keys."`
	Backup   backupCmd   `cmd:"" help:"Write everything into one file, also while the server runs, or check such a file."`
	Restore  restoreCmd  `cmd:"" help:"Make a data directory of a backup."`
	Login    loginCmd    `cmd:"" help:"Sign in to a server, for issue, export, verify, state and line."`
	Logout   logoutCmd   `cmd:"" help:"Sign out again."`
	SignIn   signInCmd   `cmd:"" name:"sign-in" help:"Make a new one-time admin sign-in link."`
	Migrate  migrateCmd  `cmd:"" help:"Bring the tables to this version's form."`
	Simulate simulateCmd `cmd:"" help:"Run a small MES, WMS or ERP that can be asked about items, for demos and tests."`
	Doctor   doctorCmd   `cmd:"" help:"Check data directory, keys and files."`
	Version  versionCmd  `cmd:"" help:"Print the version."`

	DeriveKeys deriveKeysCmd `cmd:"" hidden:"" help:"Hash passwords for the server that started this, which asks on standard input."`
}

// dataFlags are common to all that open a data directory.
type dataFlags struct {
	Data        string          `default:"./data" placeholder:"DIR" help:"Embedded engines, keys and files (${default})."`
	Region      int             `default:"0" placeholder:"N" help:"Region of the serials issued here, 0 to 9999."`
	PublicURL   string          `name:"public-url" placeholder:"URL" help:"What codes link to. Default: by the listeners."`
	ExpireRule  string          `placeholder:"TIME" help:"When batches expire that name no expiry, with a zone: \"2030-12-31 23:59:59 Asia/Shanghai\"."`
	LogLevel    string          `default:"info" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
	SQL         string          `name:"sql" placeholder:"URL" help:"Records on a server: mysql://user:pass@host:port/db, ?tls=true&tls-ca=FILE. Default: embedded."`
	SQLRead     string          `name:"sql-read" placeholder:"LIST" help:"Replicas of --sql that answer what may be stale: such URLs, by commas."`
	SQLShard    string          `name:"sql-shard" placeholder:"LIST" help:"Brands by their number mod 16 in databases of their own: 0-7=URL,8-15=URL; those not named are in --sql. The first start decides."`
	KEK         string          `name:"kek" env:"-" placeholder:"FILE" help:"A key of 32 bytes that wraps the keys kept in SQL; or CHOPMARK_KEK: the key itself, in hex or base64, or such a file."`
	KMS         string          `name:"kms" placeholder:"URL" help:"A server that keeps keys (Vault Transit): https://host:8200/MOUNT/KEY; its token is CHOPMARK_KMS_TOKEN. It wraps what seals persons, and may seal --kek."`
	KMSCA       string          `name:"kms-ca" placeholder:"FILE" help:"Trust the authorities of this file there, and no others."`
	KMSHold     time.Duration   `name:"kms-hold" default:"1h" placeholder:"TIME" help:"How long a key of --kms is held in memory (${default})."`
	Redis       string          `placeholder:"URL" help:"What processes share: redis://[:pass@]host:port/0, redis+sentinel://host:port/master, redis+cluster://host:port; several hosts by commas; rediss and ?ca=FILE for TLS."`
	Kafka       string          `placeholder:"URL" help:"Tell of events there: host:port, by commas, or kafka://user:pass@host:port; kafkas and ?ca=FILE for TLS."`
	Search      string          `placeholder:"URL" help:"Search in OpenSearch or Elasticsearch there; with --kafka it indexes scans too."`
	Blob        string          `placeholder:"URL" help:"Files: s3://key:secret@host:port/bucket?tls=0 or file:///dir. Default: under --data."`
	AllowUnsafe bool            `help:"Start on servers that may lose what they have acknowledged."`
	Config      kong.ConfigFlag `placeholder:"FILE" help:"YAML with these flags; unknown keys are refused."`
}

func (f *dataFlags) config() app.Config {
	return app.Config{
		Data: f.Data, Region: f.Region, PublicURL: f.PublicURL, ExpireRule: f.ExpireRule, Version: version,
		EngineConfig: app.EngineConfig{SQL: f.SQL, SQLRead: f.SQLRead, SQLShard: f.SQLShard, KEKFile: f.KEK, KEK: os.Getenv("CHOPMARK_KEK"), AllowUnsafe: f.AllowUnsafe,
			KMS:   app.KMSConfig{URL: f.KMS, Token: os.Getenv("CHOPMARK_KMS_TOKEN"), CA: f.KMSCA, Hold: f.KMSHold},
			Redis: f.Redis, Kafka: f.Kafka, Search: f.Search, Blob: f.Blob,
		},
	}
}

func (f *dataFlags) level() slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.LogLevel)); err != nil {
		level = slog.LevelInfo // the enum above allows nothing else
	}
	return level
}

func (f *dataFlags) logger() *slog.Logger { return obs.NewLogger(os.Stderr, f.level()) }

// serveCmd runs the server.
type serveCmd struct {
	dataFlags
	roleFlags
	peopleFlags
	Env           string        `name:"env" default:"development" enum:"development,production" help:"production refuses what is for trying things out."`
	Listen        string        `default:"127.0.0.1:8080" placeholder:"ADDR" help:"HTTP/1.1 and cleartext HTTP/2 (${default})."`
	TLSListen     string        `name:"tls-listen" placeholder:"ADDR" help:"HTTPS and HTTP/3 (UDP, the same port); off by default."`
	TLSCert       string        `name:"tls-cert" placeholder:"FILE" help:"Certificate chain, PEM."`
	TLSKey        string        `name:"tls-key" placeholder:"FILE" help:"Private key, PEM."`
	TLSSelfSigned bool          `name:"tls-self-signed" help:"Make a certificate for this machine."`
	GRPCListen    string        `name:"grpc-listen" default:"127.0.0.1:8081" placeholder:"ADDR" help:"gRPC (${default}); empty = off."`
	DebugListen   string        `placeholder:"ADDR" help:"pprof; off by default."`
	ScanAck       string        `default:"durable" enum:"durable,async" help:"durable: answer a scan when it is on disk; async: before."`
	CountWait     time.Duration `default:"150ms" placeholder:"TIME" help:"How long a scan waits for its count in Redis before it is answered as partial (${default}); 0 = answered at once and counted afterwards."`
	ScanLogMax    int64         `default:"68719476736" placeholder:"BYTES" help:"Most that the log of scans may keep for consumers that are behind (${default}); beyond it the oldest are given up, loudly. 0 = no bound."`
	ScanDays      int           `default:"730" placeholder:"N" help:"How many days records of single scans are kept (${default})."`
	GeoIP         string        `name:"geoip" placeholder:"FILE" help:"Where addresses are: ip2region .xdb or .mmdb; without it places are unknown."`

	TrustedProxy []string `placeholder:"CIDR" help:"Networks whose X-Forwarded-For is believed."`
	LimitAddress string   `default:"100/s" placeholder:"RATE" help:"Requests of one address, an IPv6 /64 being one (${default}); or off."`
	LimitMisses  string   `default:"60/h" placeholder:"RATE" help:"How often one address may ask for what does not exist (${default}); or off."`
	LimitKeys    string   `default:"60/h" placeholder:"RATE" help:"How many wrong keys one address may show (${default}); or off."`
	MissBudget   string   `default:"10000/h" placeholder:"RATE" help:"Misses of all addresses; beyond it those with a miss must prove work (${default}); or off."`

	SourcePrivate bool `help:"Let trace sources be asked on this machine and in private networks, without TLS too; in production, let webhooks lead there."`

	Demo     bool   `help:"Brands, products, batches and history to look at."`
	AdminKey string `env:"CHOPMARK_ADMIN_KEY" hidden:"" help:"Becomes the admin API key of an empty installation."`
}

func (s *serveCmd) config() app.Config {
	cfg := s.dataFlags.config()
	cfg.RoleConfig, cfg.People = s.roleFlags.config(), s.peopleFlags.config()
	cfg.Listen, cfg.GRPCListen, cfg.DebugListen = s.Listen, s.GRPCListen, s.DebugListen
	cfg.TLSListen, cfg.TLSCert, cfg.TLSKey, cfg.TLSSelfSigned = s.TLSListen, s.TLSCert, s.TLSKey, s.TLSSelfSigned
	cfg.ScanAckAsync, cfg.Demo, cfg.AdminKey = s.ScanAck == "async", s.Demo, s.AdminKey
	cfg.Env = s.Env
	if cfg.CountWait = s.CountWait; s.CountWait == 0 {
		cfg.CountWait = -1
	}
	cfg.ScanLogMax, cfg.ScanDays, cfg.GeoIP, cfg.TrustedProxies = s.ScanLogMax, s.ScanDays, s.GeoIP, s.TrustedProxy
	cfg.Limits = app.LimitConfig{Address: s.LimitAddress, Misses: s.LimitMisses, Keys: s.LimitKeys, MissBudget: s.MissBudget}
	cfg.LogLevel, cfg.SourcePrivate = s.LogLevel, s.SourcePrivate
	return cfg
}

// Run serves until a signal ends it.
func (s *serveCmd) Run(ctx context.Context, started *configuration) error {
	cfg := s.config()
	cfg.People.Deriver = deriver()
	go steadyMemory(ctx) // ends with ctx
	level := &slog.LevelVar{}
	level.Set(s.level())
	log := obs.NewLogger(os.Stderr, level)
	if cfg.ScanAckAsync {
		log.Warn("scans are answered before they are on disk (--scan-ack async): a crash loses the last of them")
	}
	a, err := app.Open(ctx, cfg, log)
	if err != nil {
		return err
	}
	reload := &reloader{app: a, log: log, level: level, inForce: started}
	done := reload.run(ctx)
	err = a.Serve(ctx, func(addrs app.Addresses) { app.Greet(os.Stdout, a, addrs) })
	done()
	if closing := a.Close(); err == nil {
		err = closing
	}
	return err
}

// versionCmd prints the version.
type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run() error {
	fmt.Println(version)
	return nil
}
