package identity

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
)

// Secrets are the domain's secrets, each for one thing.
type Secrets struct {
	People  [32]byte // wraps the data key of each person, unless Keeper does
	Search  [32]byte // hashes what people are looked up by
	Audit   [32]byte // chains the log of changes
	Tokens  [32]byte // tells a session token that was made here from any other
	Replays [32]byte // makes a secret of a request, so that a retry is given the same one
	// Keeper gives what wraps data keys from a server that keeps keys, or says why it does
	// not; nil = People wraps them. What People wrapped before can be opened still.
	Keeper func() ([32]byte, error)
}

// Person is what is known of a user as a person. It is kept sealed under a data key of
// its own, which Secrets.People wraps: who erases the key erases the person, in backups
// of the table too.
type Person struct {
	Login    string `json:"login"`
	Name     string `json:"name"`
	Email    string `json:"email,omitempty"`
	Phone    string `json:"phone,omitempty"`
	IDNumber string `json:"id_number,omitempty"`
}

// String keeps a person out of logs.
func (Person) String() string { return "(a person)" }

// GoString is String for %#v.
func (p Person) GoString() string { return p.String() }

// Masked shows the person to who need not know all.
func (p Person) Masked() Person {
	return Person{Login: MaskLogin(p.Login), Name: MaskName(p.Name), Email: MaskEmail(p.Email), Phone: MaskPhone(p.Phone), IDNumber: MaskIDNumber(p.IDNumber)}
}

// MaskLogin masks a name to sign in with, which may be a mail address or a number.
func MaskLogin(s string) string {
	if strings.Contains(s, "@") {
		return MaskEmail(s)
	}
	r := []rune(s)
	if len(r) < 4 {
		return hidden
	}
	return string(r[:2]) + hidden
}

// Sealed is a person at rest. Both parts are a nonce with an AES-256-GCM ciphertext.
type Sealed struct {
	Key  []byte // the data key, wrapped; nil = erased
	Data []byte
}

// seal encrypts a person for the user that it is of.
func (s *Secrets) seal(user UserID, p Person) (Sealed, error) {
	var key [32]byte
	rand.Read(key[:]) // never fails: crypto/rand ends the process first
	raw, err := json.Marshal(p)
	if err != nil {
		return Sealed{}, fmt.Errorf("encode a person: %w", err)
	}
	wrapped, err := s.wrap(key[:], "key "+string(user))
	if err != nil {
		return Sealed{}, err
	}
	return Sealed{Key: wrapped, Data: encrypt(key, raw, "person "+string(user))}, nil
}

// wrap encrypts a secret of a person under what wraps them.
func (s *Secrets) wrap(secret []byte, about string) ([]byte, error) {
	key := s.People
	if s.Keeper != nil {
		var err error
		if key, err = s.Keeper(); err != nil {
			return nil, fmt.Errorf("wrap a secret: %w", err)
		}
	}
	return encrypt(key, secret, about), nil
}

// unwrap is the reverse of wrap. Without the keeper's word nothing is opened, not even what
// was wrapped before there was one.
func (s *Secrets) unwrap(wrapped []byte, about string) ([]byte, error) {
	if s.Keeper != nil {
		key, err := s.Keeper()
		if err != nil {
			return nil, fmt.Errorf("unwrap a secret: %w", err)
		}
		if secret, err := decrypt(key, wrapped, about); err == nil {
			return secret, nil
		}
	}
	return decrypt(s.People, wrapped, about)
}

// open is the reverse of seal; the zero Person when it was erased.
func (s *Secrets) open(user UserID, sealed Sealed) (p Person, _ error) {
	if len(sealed.Key) == 0 {
		return p, nil
	}
	key, err := s.unwrap(sealed.Key, "key "+string(user))
	if err != nil || len(key) != 32 {
		return p, fmt.Errorf("unwrap the key of user %s: %w", user, err)
	}
	raw, err := decrypt([32]byte(key), sealed.Data, "person "+string(user))
	if err != nil {
		return p, fmt.Errorf("open user %s: %w", user, err)
	}
	err = json.Unmarshal(raw, &p)
	return p, err
}

// lookup is the hash by which a datum is found without being known.
func (s *Secrets) lookup(kind, value string) Hash {
	h := hmac.New(sha256.New, s.Search[:])
	h.Write([]byte(kind + "\x00" + normal(value)))
	return Hash(h.Sum(nil))
}

// normal makes one of what people take for the same.
func normal(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

func gcm(key [32]byte) cipher.AEAD {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // cannot be: 32 bytes are a key
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // cannot be: AES has the block size
	}
	return aead
}

func encrypt(key [32]byte, plain []byte, about string) []byte {
	aead := gcm(key)
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, []byte(about))
}

func decrypt(key [32]byte, sealed []byte, about string) ([]byte, error) {
	aead := gcm(key)
	if len(sealed) < aead.NonceSize() {
		return nil, fmt.Errorf("a sealed datum of %d bytes is cut off", len(sealed))
	}
	return aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(about))
}
