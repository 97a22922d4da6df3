package identity

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// ConsumerID is the account of somebody who scans, as scan records have it: random, so that
// it tells neither how many there are nor who came first, and small enough for JavaScript.
type ConsumerID int64

const consumerBits = 52

func newConsumerID() ConsumerID {
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process first
	return ConsumerID(binary.BigEndian.Uint64(b[:])>>(64-consumerBits) | 1)
}

const consumerOwner = "con_"

// Owner is what the sessions of a consumer are kept under.
func (id ConsumerID) Owner() UserID { return UserID(consumerOwner + strconv.FormatInt(int64(id), 10)) }

// ConsumerOf is the consumer whose session it is; ok is false for that of anybody else.
func ConsumerOf(owner UserID) (_ ConsumerID, ok bool) {
	text, ok := strings.CutPrefix(string(owner), consumerOwner)
	n, err := strconv.ParseInt(text, 10, 64)
	return ConsumerID(n), ok && err == nil
}

// Consumer is the account of somebody who scans. It opens nothing that people work with.
type Consumer struct {
	ID        ConsumerID
	State     UserState // active or erased
	Sealed    Sealed
	CreatedAt time.Time
	SeenAt    time.Time // the last sign-in

	// How the consumer is found without being known; the zero Hash = not so.
	Phone, Email, External Hash
}

// Channel is how a one-time code reaches a consumer.
type Channel string

// The channels.
const (
	SMS  Channel = "sms"
	Mail Channel = "mail"
)

// Sender takes a code to a consumer. An error means that it may not have arrived.
type Sender interface {
	Send(ctx context.Context, to, code, lang string) error
}

// ConsumerConfig is what an operator may set for consumers; zero fields have the usual
// values.
type ConsumerConfig struct {
	Life     time.Duration      // of a pass; a session that is used is moved on
	Longest  time.Duration      // a session ends after it in any case
	Senders  map[Channel]Sender // what is not here is not offered
	Prefixes []string           // of the numbers that are written to; none = all
	PerDay   int64              // codes of one channel on a day, to everybody
	PerNet   int64              // codes that one network asks for on a day
}

// The usual values, and what is fixed.
const (
	DefaultConsumerLife    = 30 * 24 * time.Hour
	DefaultConsumerLongest = 365 * 24 * time.Hour

	defaultCodesPerDay = 20_000
	defaultCodesPerNet = 200
	codesPerTarget     = 10 // on a day
	codeTries          = 5
	CodeLife           = 5 * time.Minute
	CodePause          = time.Minute // between two to one target
	codeDigits         = 6
	sendTimeout        = 10 * time.Second
	sendsMax           = 64 // at a time
)

func (c *ConsumerConfig) fill() {
	if c.Life <= 0 {
		c.Life = DefaultConsumerLife
	}
	if c.Longest <= 0 {
		c.Longest = DefaultConsumerLongest
	}
	if c.PerDay <= 0 {
		c.PerDay = defaultCodesPerDay
	}
	if c.PerNet <= 0 {
		c.PerNet = defaultCodesPerNet
	}
}

// What a consumer may be told.
var (
	ErrNoChannel       = fault.New(fault.Unavailable, "consumer.no_channel", "this installation sends no codes this way")
	ErrNoCountry       = fault.New(fault.Denied, "consumer.no_country", "no codes are sent to numbers of this country")
	ErrNotSent         = fault.New(fault.Unavailable, "consumer.not_sent", "the code could not be sent; try again").After(CodePause)
	ErrCodeWait        = fault.New(fault.Limited, "consumer.code_wait", "a code was sent a moment ago; wait before the next one")
	ErrCodesUsedUp     = fault.New(fault.Limited, "consumer.codes_used_up", "too many codes were sent today; try again tomorrow")
	ErrCodeRefused     = fault.New(fault.Unauthenticated, "consumer.code_refused", "the code is not right, was used, or has expired")
	ErrIdentifierThere = fault.New(fault.Conflict, "consumer.identifier_there", "this account has another one of this kind already")
	ErrIdentifierTaken = fault.New(fault.Conflict, "consumer.identifier_taken", "this cannot be added to this account; sign in with it instead")
	ErrConsumerRaced   = fault.New(fault.Conflict, "consumer.changed", "the account was changed meanwhile; try again")
	ErrUnknownConsumer = fault.New(fault.NotFound, "consumer.unknown", "no such consumer")
)

// Target is where a code is sent.
type Target struct {
	Channel Channel
	To      string // a number as E.164, a mail address in small letters
}

// ParseTarget reads a telephone number or a mail address: one of the two. A number of
// eleven digits without a country is of China.
func ParseTarget(phone, email string) (t Target, _ error) {
	switch {
	case (phone == "") == (email == ""):
		return t, fault.Field("consumer.bad_target", "phone", "name a phone or an email, one of the two")
	case email != "":
		text := normal(email)
		a, err := mail.ParseAddress(text)
		if err != nil || a.Address != text || len(text) > 254 || strings.ContainsAny(text, "\"\r\n<> ") {
			return t, fault.Field("consumer.bad_target", "email", "is no mail address")
		}
		return Target{Mail, text}, nil
	}
	number := strings.NewReplacer(" ", "", "-", "", "(", "", ")", "").Replace(phone)
	if len(number) == 11 && number[0] == '1' {
		number = "+86" + number
	}
	digits, ok := strings.CutPrefix(number, "+")
	if !ok || len(digits) < 7 || len(digits) > 15 || digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return t, fault.Field("consumer.bad_target", "phone", "is no telephone number such as +8613800000000")
	}
	return Target{SMS, number}, nil
}

// kind is what the target is looked up as.
func (t Target) kind() string {
	if t.Channel == SMS {
		return "phone"
	}
	return "email"
}

// OneTimeCode is a code that was sent, without being known.
type OneTimeCode struct {
	Target, Code Hash
	Tries        int
	SentAt       time.Time
	ExpiresAt    time.Time
}

// Count is one thing that is counted by the day, and how many there may be.
type Count struct {
	Name Hash
	Most int64
}
