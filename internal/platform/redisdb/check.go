package redisdb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	majorMin     = 7
	checkTimeout = 5 * time.Second
)

// check asks every server with INFO: a managed Redis often has no CONFIG.
func (d *DB) check(ctx context.Context, c Config) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var refused error
	for addr, node := range d.Nodes() {
		text, err := node.Do(ctx, node.B().Info().Build()).ToString()
		if err != nil {
			return fmt.Errorf("ask Redis at %s with INFO: %w", addr, err)
		}
		unsafe, unknown := judge(parseInfo(text))
		for _, what := range unknown {
			c.Log.Warn("Redis does not tell "+what+": it could not be checked", "redis", addr)
		}
		for _, why := range unsafe {
			if c.AllowUnsafe {
				c.Log.Error("UNSAFE: Redis "+why, "redis", addr)
				continue
			}
			refused = errors.Join(refused, fmt.Errorf("the Redis at %s %s, or start with --allow-unsafe", addr, why))
		}
	}
	return refused
}

// judge says what is unsafe, each with its fix, and what cannot be told.
func judge(info map[string]string) (unsafe, unknown []string) {
	major, _, _ := strings.Cut(info["redis_version"], ".")
	if n, err := strconv.Atoi(major); err != nil {
		unknown = append(unknown, "its version")
	} else if n < majorMin {
		unsafe = append(unsafe, fmt.Sprintf("is version %s and cannot take over what a dead consumer held: use %d or newer", info["redis_version"], majorMin))
	}
	switch policy, limit := info["maxmemory_policy"], info["maxmemory"]; {
	case policy == "":
		unknown = append(unknown, "its eviction policy")
	case policy != "noeviction" && limit != "0":
		unsafe = append(unsafe, fmt.Sprintf("evicts (maxmemory-policy %s), so counts and streams may vanish: set maxmemory-policy noeviction", policy))
	}
	switch info["aof_enabled"] {
	case "1":
	case "0":
		unsafe = append(unsafe, "has no append-only file, so a restart forgets what came since the last snapshot: set appendonly yes")
	default:
		unknown = append(unknown, "whether it has an append-only file")
	}
	return unsafe, unknown
}

func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}
