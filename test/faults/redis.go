package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chopmark/chopmark/test/servers"
)

const (
	redisNodes     = 2
	redisSentinels = 3
	redisDownMS    = 3000 // longer than a stall and than a restart
	redisTime      = 60 * time.Second
)

// redisSet is a master and a replica, each known to everybody by its proxy's address, and
// the Sentinels that watch them.
type redisSet struct {
	nodes     []*servers.RedisServer
	ways      []*servers.Proxy
	sentinels []*servers.RedisServer
}

// openRedis starts it. What was started is given in any case.
func openRedis(dir string) (*redisSet, error) {
	s := &redisSet{}
	for i := range redisNodes {
		way, err := servers.NewProxy("")
		if err != nil {
			return s, err
		}
		s.ways = append(s.ways, way)
		host, port, err := net.SplitHostPort(way.Addr)
		if err != nil {
			return s, err
		}
		args := []string{"--replica-announce-ip", host, "--replica-announce-port", port, "--appendfsync", "everysec"}
		if i > 0 {
			master, masterPort, err := net.SplitHostPort(s.ways[0].Addr)
			if err != nil {
				return s, err
			}
			args = append(args, "--replicaof", master, masterPort)
		}
		at := filepath.Join(dir, fmt.Sprint("redis-", i))
		if err := os.Mkdir(at, 0o700); err != nil {
			return s, err
		}
		node, err := servers.StartRedis(at, args...)
		if err != nil {
			return s, err
		}
		way.SetServer(node.Addr)
		s.nodes = append(s.nodes, node)
	}
	for i := range redisSentinels {
		at := filepath.Join(dir, fmt.Sprint("sentinel-", i))
		if err := os.Mkdir(at, 0o700); err != nil {
			return s, err
		}
		w, err := servers.StartSentinel(at, s.ways[0].Addr, redisDownMS)
		if w != nil {
			s.sentinels = append(s.sentinels, w)
		}
		if err != nil {
			return s, err
		}
	}
	err := s.whole(context.Background())
	return s, err
}

func (s *redisSet) close() {
	for _, all := range [][]*servers.RedisServer{s.sentinels, s.nodes} {
		for _, one := range all {
			one.Kill()
		}
	}
	for _, way := range s.ways {
		way.Close()
	}
}

func (s *redisSet) url() string {
	var addrs []string
	for _, w := range s.sentinels {
		addrs = append(addrs, w.Addr)
	}
	return "redis+sentinel://" + strings.Join(addrs, ",") + "/" + servers.RedisMaster
}

// master is the number of the node that the Sentinels agree on.
func (s *redisSet) master() (int, error) {
	agreed := -1
	for _, w := range s.sentinels {
		text, err := w.Command("INFO", "sentinel")
		if err != nil {
			return 0, err
		}
		named := -1
		for i, way := range s.ways {
			if strings.Contains(text, "address="+way.Addr+",") {
				named = i
			}
		}
		if named < 0 || agreed >= 0 && named != agreed {
			return 0, fmt.Errorf("the Sentinels name no one master: %s", text)
		}
		agreed = named
	}
	return agreed, nil
}

// whole waits until there is a master, a replica that has everything, and Sentinels who
// know both: before that nothing could take over.
func (s *redisSet) whole(ctx context.Context) error {
	return within(ctx, "Redis is not whole", redisTime, func() error {
		m, err := s.master()
		if err != nil {
			return err
		}
		text, err := s.nodes[m].Command("INFO", "replication")
		if err != nil || !strings.Contains(text, "role:master") || !strings.Contains(text, "state=online") {
			return errors.Join(err, errors.New(text))
		}
		text, err = s.nodes[1-m].Command("INFO", "replication")
		if err != nil || !strings.Contains(text, "master_link_status:up") {
			return errors.Join(err, errors.New(text))
		}
		for _, w := range s.sentinels {
			text, err := w.Command("INFO", "sentinel")
			if err != nil || !strings.Contains(text, fmt.Sprintf("status=ok,address=%s,slaves=1,sentinels=%d", s.ways[m].Addr, redisSentinels)) {
				return errors.Join(err, errors.New(text))
			}
		}
		return nil
	})
}

// over waits until another node than the old master is the master.
func (s *redisSet) over(ctx context.Context, old int) error {
	return within(ctx, "nobody takes over", redisTime, func() error {
		m, err := s.master()
		if err != nil || m == old {
			return errors.Join(err, errors.New("the dead master is still named"))
		}
		text, err := s.nodes[m].Command("INFO", "replication")
		if err != nil || !strings.Contains(text, "role:master") {
			return errors.Join(err, errors.New("the new master is a replica yet"))
		}
		return nil
	})
}

const lookAgain = 20 * time.Millisecond

// within asks until it is so.
func within(ctx context.Context, what string, most time.Duration, is func() error) error {
	var last error // what was wrong before ctx cut the asking off
	for begun := time.Now(); ; {
		err := is()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || time.Since(begun) > most {
			return fmt.Errorf("%s: %w", what, errors.Join(last, err))
		}
		last = err
		wait(ctx, lookAgain)
	}
}
