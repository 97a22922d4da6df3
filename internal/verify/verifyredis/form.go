package verifyredis

import (
	"errors"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"github.com/chopmark/chopmark/internal/platform/redisdb"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

const microDegrees = 1e6

// encodePlace is a place as people can read it: country|province|city, and coordinates
// in millionths of a degree where they are known.
func encodePlace(p *verify.Place) string {
	if p == nil || p.Place == (verifyevent.Place{}) {
		return ""
	}
	b := make([]byte, 0, 96)
	for i, text := range []string{p.Country, p.Province, p.City} {
		if i > 0 {
			b = append(b, '|')
		}
		b = append(b, strings.ReplaceAll(text, "|", " ")...)
	}
	if p.Located {
		b = strconv.AppendInt(append(b, '|'), int64(p.Lat*microDegrees), 10)
		b = strconv.AppendInt(append(b, '|'), int64(p.Lon*microDegrees), 10)
	}
	return string(b)
}

func decodePlace(text string) (p verify.Place, ok bool) {
	if text == "" {
		return p, false
	}
	parts := strings.Split(text, "|")
	if len(parts) != 3 && len(parts) != 5 {
		return p, false
	}
	p.Country, p.Province, p.City = parts[0], parts[1], parts[2]
	if len(parts) == 5 {
		lat, err1 := strconv.ParseInt(parts[3], 10, 64)
		lon, err2 := strconv.ParseInt(parts[4], 10, 64)
		p.Lat, p.Lon, p.Located = float64(lat)/microDegrees, float64(lon)/microDegrees, err1 == nil && err2 == nil
	}
	return p, true
}

// appendSum adds a sum as sum.lua takes it.
func appendSum(args []string, s *verify.Sum) []string {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return append(args, number(s.Count), number(s.Sessions), number(s.FirstAt), encodePlace(&s.FirstIn), number(s.LastAt), encodePlace(&s.LastIn))
}

// reply is what count.lua answers.
type reply struct {
	status int64
	sum    verify.Sum
	what   verifyevent.What
	before *verify.Place // where the scan before was; nil = not known
	since  int64         // microseconds since the scan before
}

var errNonsense = redisdb.Else(errors.New("the counts of an item in Redis are damaged"))

func parseReply(res rueidis.RedisResult, at int64) (r reply, _ error) {
	m, err := res.ToArray()
	if err != nil {
		return r, err
	}
	if len(m) == 0 {
		return r, errNonsense
	}
	if r.status, err = m[0].AsInt64(); err != nil || r.status != counted {
		return r, err
	}
	if len(m) != replyFields {
		return r, errNonsense
	}
	if r.sum, err = parseSum(m[1:7]); err != nil {
		return r, err
	}
	what, err1 := m[7].AsInt64()
	last, err2 := m[8].AsInt64()
	before, err3 := m[9].ToString()
	if errors.Join(err1, err2, err3) != nil {
		return r, errNonsense
	}
	r.what, r.since = verifyevent.What(what), at-last
	if p, ok := decodePlace(before); ok {
		r.before = &p
	}
	return r, nil
}

// parseSum reads count, sessions, first at and in, last at and in.
func parseSum(m []rueidis.RedisMessage) (s verify.Sum, _ error) {
	for i, n := range []*int64{&s.Count, &s.Sessions, &s.FirstAt, nil, &s.LastAt, nil} {
		var err error
		if n != nil {
			*n, err = m[i].AsInt64()
		}
		if err != nil {
			return s, errNonsense
		}
	}
	first, err1 := m[3].ToString()
	last, err2 := m[5].ToString()
	if err1 != nil || err2 != nil {
		return s, errNonsense
	}
	s.FirstIn, _ = decodePlace(first)
	s.LastIn, _ = decodePlace(last)
	return s, nil
}
