package app

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/source"
	"github.com/chopmark/chopmark/internal/verify"
)

// keyring derives what the domains use from the keyset. Keys whose time to verify
// has ended fall out when it is refreshed.
type keyring struct {
	clock clock.Clock
	items *codebook.Items
	mu    sync.Mutex    // one at a time refreshes
	young time.Duration // keys younger than this are not used yet; guarded by mu
	set   atomic.Pointer[keyset.Set]
	live  atomic.Pointer[liveKeys]
}

type liveKeys struct {
	links   []*codebook.Links // newest first
	link    *codebook.Links   // what new links are made with
	innerID string            // what new batches are made with
	inner   map[string]*codebook.Inner
	labelID codebook.LabelKeyID // what new batches' labels are signed with
	labels  map[codebook.LabelKeyID]labelKey
	passes  [][32]byte // of consumers; what new ones are made with first
	roles   [][32]byte // of role tokens, as many
}

// labelKey is a signature key, revoked ones too.
type labelKey struct {
	codebook.PublishedKey

	signer *codebook.LabelSigner // nil = the key is withheld
}

var (
	_ batch.Keys  = (*keyring)(nil)
	_ verify.Keys = (*keyring)(nil)
)

func newKeyring(set *keyset.Set, c clock.Clock) *keyring {
	k := &keyring{clock: c, items: codebook.NewItems(keyset.Subkey(set.Current(keyset.Codebook)))}
	k.renew(set)
	return k
}

// present is the keyset of this moment.
func (k *keyring) present() *keyset.Set { return k.set.Load() }

// renew takes a keyset with keys that were made since; its codebook key is the same.
func (k *keyring) renew(set *keyset.Set) {
	k.set.Store(set)
	k.refresh()
}

// settle lets keys be used for new links and batches only once they are so old: until
// then other processes may not have them. What was made with them verifies at once.
func (k *keyring) settle(young time.Duration) {
	k.mu.Lock()
	k.young = young
	k.mu.Unlock()
	k.refresh()
}

// settled gives the newest key that is old enough, or the oldest of all.
func (k *keyring) settled(keys []keyset.Key, now time.Time) int {
	for i, key := range keys {
		if now.Sub(key.CreatedAt) >= k.young {
			return i
		}
	}
	return len(keys) - 1
}

// keyringRefresh is how long a key may go on verifying after its time.
const keyringRefresh = time.Minute

func (k *keyring) refresh() {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, set := k.clock.Now(), k.present()
	live := &liveKeys{inner: map[string]*codebook.Inner{}, labels: map[codebook.LabelKeyID]labelKey{}}
	links, inner := set.Verifying(keyset.Link, now), set.Verifying(keyset.Inner, now)
	for _, key := range links {
		live.links = append(live.links, codebook.NewLinks(keyset.Subkey(key)))
	}
	for _, key := range inner {
		live.inner[key.ID] = codebook.NewInner(keyset.Subkey(key))
	}
	present := k.settled(links, now)
	live.link, live.innerID = live.links[present], inner[k.settled(inner, now)].ID
	for _, key := range append([]keyset.Key{links[present]}, links...) { // one of them twice
		live.passes = append(live.passes, keyset.Derive(key, "passes/1"))
		live.roles = append(live.roles, keyset.Derive(key, "role-token/1"))
	}
	for _, key := range set.Of(keyset.Signature) {
		l := labelKey{PublishedKey: published(key)}
		if seed, ok := keyset.LabelSeed(key); ok {
			l.signer = codebook.NewLabelSigner(seed)
		}
		live.labels[l.ID()] = l
	}
	signing := set.Verifying(keyset.Signature, now)
	current := published(signing[k.settled(signing, now)])
	live.labelID = current.ID()
	k.live.Store(live)
}

func published(k keyset.Key) codebook.PublishedKey {
	return codebook.PublishedKey{LabelKey: codebook.NewLabelKey(keyset.LabelPublic(k)), Name: k.ID, Since: k.CreatedAt, Until: k.VerifyUntil}
}

// run refreshes until the context ends.
func (k *keyring) run(ctx context.Context) {
	t := time.NewTicker(keyringRefresh)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			k.refresh()
		case <-ctx.Done():
			return
		}
	}
}

// Token implements batch.Keys.
func (k *keyring) Token(s ids.Serial, version uint16, periodSeconds uint32, epoch uint64) (codebook.Token, error) {
	return k.live.Load().link.Token(s, version, periodSeconds, epoch)
}

// InnerKeyID implements batch.Keys.
func (k *keyring) InnerKeyID() string { return k.live.Load().innerID }

// InnerCode implements batch.Keys.
func (k *keyring) InnerCode(keyID string, s ids.Serial) (codebook.InnerCode, error) {
	key, err := k.Inner(keyID)
	if err != nil {
		return codebook.InnerCode{}, err
	}
	return key.Code(s), nil
}

// passKeys are those of the passes of consumers. Edges have them: a scan asks nobody.
func (k *keyring) passKeys() [][32]byte { return k.live.Load().passes }

// roleKeys are those of the tokens by which roles call each other.
func (k *keyring) roleKeys() [][32]byte { return k.live.Load().roles }

// Links implements verify.Keys.
func (k *keyring) Links() []*codebook.Links { return k.live.Load().links }

// Inner implements verify.Keys.
func (k *keyring) Inner(keyID string) (*codebook.Inner, error) {
	key, ok := k.live.Load().inner[keyID]
	if !ok {
		return nil, fault.New(fault.Unavailable, "keyset.no_inner_key", "the key of this batch's inner codes is not in the keyset")
	}
	return key, nil
}

// Label implements verify.Keys.
func (k *keyring) Label(id codebook.LabelKeyID) *codebook.LabelKey {
	return k.live.Load().labels[id].LabelKey
}

// SignatureKeyID implements batch.Keys.
func (k *keyring) SignatureKeyID() string { return k.live.Load().labelID.String() }

// What may stand in the way of signing a label.
var (
	errNoLabelKey = fault.New(fault.Unavailable, "keyset.no_signature_key",
		"the key of this batch's labels is not here; ask a process that issues")
	errLabelRevoked = fault.New(fault.Conflict, "keyset.signature_revoked",
		"the key that signs this batch's labels is revoked: their codes are good, but new labels need a new batch")
)

// LabelSigner implements batch.Keys.
func (k *keyring) LabelSigner(keyID string) (*codebook.LabelSigner, error) {
	id, _ := codebook.ParseLabelKeyID(keyID)
	switch key, ok := k.live.Load().labels[id]; {
	case !ok || key.signer == nil:
		return nil, errNoLabelKey
	case key.Revoked(k.clock.Now()):
		return nil, errLabelRevoked
	default:
		return key.signer, nil
	}
}

// publishedOf are all signature keys as everybody may know them, the oldest first.
func publishedOf(set *keyset.Set) []codebook.PublishedKey {
	var keys []codebook.PublishedKey
	for _, key := range set.Of(keyset.Signature) {
		keys = append(keys, published(key))
	}
	return keys
}

// labelKeys is the document of label keys.
func (k *keyring) labelKeys() ([]byte, error) {
	return codebook.EncodeKeys(publishedOf(k.present()), k.clock.Now())
}

// deviceSalt and sightingsKey live as long as the codes: what they salt and seal is
// read for as long.
func (k *keyring) deviceSalt() [32]byte {
	return keyset.Derive(k.present().Current(keyset.Codebook), "device/1")
}

func (k *keyring) sightingsKey() []byte {
	key := keyset.Derive(k.present().Current(keyset.Codebook), "sightings/1")
	return key[:]
}

// scansKey wraps the keys that seal addresses in scan records.
func (k *keyring) scansKey() [32]byte {
	return keyset.Derive(k.present().Current(keyset.Codebook), "scans/1")
}

// peopleKeys live as long as the codes: what they seal of persons is read for as long.
func (k *keyring) peopleKeys() identity.Secrets {
	root := k.present().Current(keyset.Codebook)
	return identity.Secrets{
		People: keyset.Derive(root, "people/1"), Search: keyset.Derive(root, "people-search/1"), Audit: keyset.Derive(root, "audit/1"),
		Tokens: keyset.Derive(root, "session-token/1"), Replays: keyset.Derive(root, "shown-once/1"),
	}
}

// visitKeys are what TLS sessions and proofs of addresses are derived from, newest first:
// those of sessions, as an edge has them. So all processes have the same, and an edge cannot
// make sessions of the console.
func (k *keyring) visitKeys(onEdge bool) []keyset.Key {
	set := k.present()
	if !onEdge {
		set = edgeShare(set)
	}
	return set.Verifying(keyset.Session, k.clock.Now())
}

// edgeShare is what an edge is given of the keys.
func edgeShare(set *keyset.Set) *keyset.Set { return set.Shared(keyset.Link, keyset.Inner) }

// downloadKey signs download links.
func (k *keyring) downloadKey() [32]byte { return keyset.Subkey(k.present().Current(keyset.Session)) }

// sourceSecrets seal the tokens of sources, and are what the secrets that they sign with are
// derived from.
func (k *keyring) sourceSecrets() source.Secrets {
	root := k.present().Current(keyset.Codebook)
	return source.Secrets{Seal: keyset.Derive(root, "sources/seal/1"), Push: keyset.Derive(root, "sources/push/1")}
}

// webhookKey is what the secrets of webhooks are derived from: they are kept nowhere, so it
// lives as long as the installation.
func (k *keyring) webhookKey() [32]byte {
	return keyset.Derive(k.present().Current(keyset.Codebook), "webhooks/1")
}
