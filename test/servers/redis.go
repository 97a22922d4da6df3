package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	redisStart    = 20 * time.Second
	redisLook     = 10 * time.Millisecond
	redisReply    = 2 * time.Second
	redisDownMS   = 500
	redisQuorum   = 2
	redisWatchers = 3
	redisMasters  = 3
)

// RedisMaster is the name that Sentinels know the master by.
const RedisMaster = "chopmark"

// RedisServer is one redis-server with an append-only file.
type RedisServer struct {
	Addr string

	dir  string
	args []string
	cmd  *exec.Cmd
	done chan struct{}
}

// StartRedis starts a server that keeps its files in dir. args are added to its own.
func StartRedis(dir string, args ...string) (*RedisServer, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &RedisServer{Addr: "127.0.0.1:" + port, dir: dir}
	s.args = append([]string{
		"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--appendonly", "yes", "--save", "", "--daemonize", "no",
		"--logfile", filepath.Join(dir, "redis.log"), "--maxmemory-policy", "noeviction", "--enable-debug-command", "local",
	}, args...)
	err = s.Restart()
	return s, err
}

// Restart starts the server again after Kill, with what its files hold.
func (s *RedisServer) Restart() error { return s.start(s.args) }

func (s *RedisServer) start(args []string) error {
	s.cmd = exec.CommandContext(context.Background(), pathOf("redis-server"), args...) // not held by a keeper: it is paused, killed and started again
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	cmd, done := s.cmd, make(chan struct{})
	s.done = done
	go func() { // ends with the process
		_ = cmd.Wait() // it is killed
		close(done)
	}()
	return redisWait("redis-server at "+s.Addr, func() error {
		text, err := s.Command("PING")
		if err == nil && text != "+PONG" {
			err = errors.New(text)
		}
		return err
	})
}

// URL is the server's, as Chopmark takes it.
func (s *RedisServer) URL() string { return "redis://" + s.Addr + "/0" }

// Kill ends the server as a power cut would.
func (s *RedisServer) Kill() {
	_ = s.cmd.Process.Kill() // it may have ended already
	<-s.done
}

// Pause lets the server stand still with its connections open; Resume ends that.
func (s *RedisServer) Pause() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *RedisServer) Resume() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Command sends a command by a connection of its own and gives the first line of the
// reply, or the text when it is one.
func (s *RedisServer) Command(args ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", s.Addr, redisReply)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }() // everything was read
	if err := conn.SetDeadline(time.Now().Add(redisReply)); err != nil {
		return "", err
	}
	ask := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		ask = fmt.Appendf(ask, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := conn.Write(ask); err != nil {
		return "", err
	}
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	line = strings.TrimSpace(line)
	if size := strings.TrimPrefix(line, "$"); err == nil && size != line {
		var n int
		if n, err = strconv.Atoi(size); err == nil && n >= 0 {
			text := make([]byte, n)
			_, err = io.ReadFull(r, text)
			return string(text), err
		}
	}
	return line, err
}

// Redis starts a server of the test's own.
func Redis(t testing.TB) *RedisServer {
	t.Helper()
	needs(t, "redis-server", "redis-server")
	return redisOf(t)
}

// SecureRedis starts a server that also speaks TLS, and gives where.
func SecureRedis(t testing.TB, f TLSFiles) (addr string) {
	t.Helper()
	needs(t, "redis-server", "redis-server")
	addr, args := f.redis(t)
	redisOf(t, args...)
	return addr
}

// redis is what a server is started with that also speaks TLS, and where it does.
func (f TLSFiles) redis(t testing.TB) (addr string, args []string) {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return "127.0.0.1:" + port, []string{
		"--tls-port", port, "--tls-cert-file", f.Cert, "--tls-key-file", f.Key, "--tls-ca-cert-file", f.CA, "--tls-auth-clients", "no",
	}
}

// SecureRedisCluster starts a Cluster of three masters that names its servers by where they
// speak TLS, and gives their addresses.
func SecureRedisCluster(t testing.TB, f TLSFiles) (addrs []string) {
	t.Helper()
	needs(t, "redis-tools", "redis-server", "redis-cli")
	for range redisMasters {
		addr, args := f.redis(t)
		bus, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		redisOf(t, append(args, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000", "--tls-cluster", "yes")...)
		addrs = append(addrs, addr)
	}
	redisCLI(t, append([]string{"--tls", "--cacert", f.CA, "--cluster-yes", "--cluster", "create"}, addrs...)...)
	for _, addr := range addrs {
		_, port, _ := net.SplitHostPort(addr)
		ask := []string{"--tls", "--cacert", f.CA, "-p", port, "CLUSTER", "INFO"}
		err := redisWait("the Cluster at "+addr, func() error {
			out, err := exec.CommandContext(t.Context(), "redis-cli", ask...).CombinedOutput()
			if err == nil && !strings.Contains(string(out), "cluster_state:ok") {
				err = errors.New(string(out))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return addrs
}

// SecureRedisSentinel starts a master and a Sentinel that speak TLS alone to each other, and
// gives the Sentinel's address.
func SecureRedisSentinel(t testing.TB, f TLSFiles) string {
	t.Helper()
	needs(t, "redis-server", "redis-server")
	master := SecureRedis(t, f)
	_, port, _ := net.SplitHostPort(master)
	dir := t.TempDir()
	addr, args := f.redis(t)
	conf := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("tls-replication yes\nsentinel monitor %s 127.0.0.1 %s 1\n", RedisMaster, port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	plain, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	w := &RedisServer{Addr: "127.0.0.1:" + plain, dir: dir, args: append([]string{conf, "--sentinel", "--port", plain, "--bind", "127.0.0.1", "--dir", dir}, args...)}
	err = w.Restart()
	t.Cleanup(w.Kill)
	if err == nil {
		err = redisWait("Sentinel at "+w.Addr, func() error {
			text, err := w.Command("INFO", "sentinel")
			if err == nil && !strings.Contains(text, "status=ok,address="+master) {
				err = errors.New(text)
			}
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func redisCLI(t testing.TB, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), redisStart)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "redis-cli", args...).CombinedOutput(); err != nil {
		t.Fatalf("make the Cluster: %v\n%s", err, out)
	}
}

func redisOf(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	s, err := StartRedis(t.TempDir(), args...)
	if s != nil && s.cmd != nil && s.done != nil {
		t.Cleanup(s.Kill)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// RedisSentinels is a master with replicas, and who watches them.
type RedisSentinels struct {
	URL string

	nodes    []*RedisServer
	watchers []*RedisServer
}

// RedisSentinel starts a master, two replicas and three Sentinels.
func RedisSentinel(t testing.TB) *RedisSentinels {
	t.Helper()
	needs(t, "redis-server", "redis-server")
	s := &RedisSentinels{nodes: []*RedisServer{redisOf(t)}}
	host, port, _ := net.SplitHostPort(s.nodes[0].Addr)
	for range redisQuorum {
		s.nodes = append(s.nodes, redisOf(t, "--replicaof", host, port))
	}
	var addrs []string
	for range redisWatchers {
		w := redisWatcher(t, host, port)
		s.watchers = append(s.watchers, w)
		addrs = append(addrs, w.Addr)
	}
	s.URL = "redis+sentinel://" + strings.Join(addrs, ",") + "/" + RedisMaster
	for _, w := range s.watchers { // before this, a failover would find nobody to promote
		err := redisWait("Sentinel at "+w.Addr, func() error {
			text, err := w.Command("INFO", "sentinel")
			if err == nil && !strings.Contains(text, fmt.Sprintf("status=ok,address=%s,slaves=%d,sentinels=%d", s.nodes[0].Addr, redisQuorum, redisWatchers)) {
				err = errors.New(text)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func redisWatcher(t testing.TB, host, masterPort string) *RedisServer {
	t.Helper()
	w, err := StartSentinel(t.TempDir(), net.JoinHostPort(host, masterPort), redisDownMS)
	if w != nil {
		t.Cleanup(w.Kill)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// StartSentinel starts a Sentinel that takes a master for down after so many milliseconds.
func StartSentinel(dir, master string, downMS int) (*RedisServer, error) {
	host, masterPort, err := net.SplitHostPort(master)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nlogfile %s\nsentinel monitor %s %s %s %d\n"+
		"sentinel down-after-milliseconds %s %d\nsentinel failover-timeout %s 3000\nsentinel parallel-syncs %s 2\n",
		port, dir, filepath.Join(dir, "sentinel.log"), RedisMaster, host, masterPort, redisQuorum, RedisMaster, downMS, RedisMaster, RedisMaster)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	w := &RedisServer{Addr: "127.0.0.1:" + port, dir: dir, args: []string{conf, "--sentinel"}}
	err = w.Restart()
	return w, err
}

// Master is the server that the Sentinels name.
func (s *RedisSentinels) Master() (*RedisServer, error) {
	text, err := s.watchers[0].Command("INFO", "sentinel")
	if err != nil {
		return nil, err
	}
	for _, n := range s.nodes {
		if strings.Contains(text, "address="+n.Addr+",") {
			return n, nil
		}
	}
	return nil, fmt.Errorf("the Sentinels name no master: %s", text)
}

// Failover kills the master and returns when the Sentinels name another one that takes
// writes.
func (s *RedisSentinels) Failover() error {
	old, err := s.Master()
	if err != nil {
		return err
	}
	old.Kill()
	return redisWait("failover", func() error {
		now, err := s.Master()
		if err != nil {
			return err
		}
		if now == old {
			return errors.New("the dead master is still named")
		}
		text, err := now.Command("INFO", "replication")
		if err == nil && !strings.Contains(text, "role:master") {
			err = errors.New("the new master is a replica yet")
		}
		return err
	})
}

// RedisCluster starts a Cluster of three masters, each with so many replicas, and gives
// its URL and servers.
func RedisCluster(t testing.TB, replicas int) (url string, nodes []*RedisServer) {
	t.Helper()
	needs(t, "redis-tools", "redis-server", "redis-cli")
	var addrs []string
	for range redisMasters * (1 + replicas) {
		bus, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		n := redisOf(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000")
		nodes = append(nodes, n)
		addrs = append(addrs, n.Addr)
	}
	args := append([]string{"--cluster", "create"}, addrs...)
	args = append(args, "--cluster-replicas", strconv.Itoa(replicas), "--cluster-yes")
	redisCLI(t, args...)
	for _, n := range nodes {
		err := redisWait("the Cluster at "+n.Addr, func() error {
			text, err := n.Command("CLUSTER", "INFO")
			if err == nil && !strings.Contains(text, "cluster_state:ok") {
				err = errors.New(text)
			}
			if err != nil {
				return err
			}
			text, err = n.Command("INFO", "replication") // a replica that has nothing yet is never promoted
			if err == nil && !strings.Contains(text, fmt.Sprintf("role:master\r\nconnected_slaves:%d\r\n", replicas)) && !strings.Contains(text, "master_link_status:up") {
				err = errors.New(text)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return "redis+cluster://" + strings.Join(addrs, ","), nodes
}

// RedisClusterFailover kills the master that has the most keys and returns when a replica
// has taken its place.
func RedisClusterFailover(nodes []*RedisServer) error {
	var fullest *RedisServer
	most := -1
	for _, n := range nodes {
		role, err := n.Command("INFO", "replication")
		if err != nil || !strings.Contains(role, "role:master") {
			continue
		}
		size, err := n.Command("DBSIZE")
		if err != nil {
			return err
		}
		if keys, err := strconv.Atoi(strings.TrimPrefix(size, ":")); err == nil && keys > most {
			fullest, most = n, keys
		}
	}
	if fullest == nil {
		return errors.New("the Cluster has no master")
	}
	fullest.Kill()
	return redisWait("failover of the Cluster", func() error {
		masters := 0
		for _, n := range nodes {
			if n == fullest {
				continue
			}
			role, err := n.Command("INFO", "replication")
			if err == nil && strings.Contains(role, "role:master") {
				masters++
			}
			state, err := n.Command("CLUSTER", "INFO")
			if err != nil || !strings.Contains(state, "cluster_state:ok") {
				return errors.Join(err, errors.New(state))
			}
		}
		if masters != redisMasters {
			return fmt.Errorf("%d masters", masters)
		}
		return nil
	})
}

// redisWait looks until ok says nothing more.
func redisWait(what string, ok func() error) error {
	until := time.Now().Add(redisStart)
	for {
		err := ok()
		if err == nil {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("%s is not ready: %w", what, err)
		}
		time.Sleep(redisLook)
	}
}
