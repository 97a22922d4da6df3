package source

import (
	"context"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// Store keeps systems and what was pushed.
type Store interface {
	// AddSystem must have one effect for each request, and give it again. It answers
	// ErrTooMany for a brand that has SystemsMax.
	AddSystem(ctx context.Context, r ids.Request, s System) (_ System, replayed bool, _ error)
	// System gives one, a removed one too; ErrUnknown when there never was one.
	System(ctx context.Context, id SystemID) (System, error)
	// Systems gives those of a brand by id, behind after; 0 = of all brands and of none.
	Systems(ctx context.Context, brand ids.BrandID, after SystemID, limit int) ([]System, error)
	// ChangeSystem must have one effect for each request, and only on the version before
	// the one that it is given; ErrChanged on any other.
	ChangeSystem(ctx context.Context, r ids.Request, s System) (replayed bool, _ error)
	// RemoveSystem must forget the token, and let the system be asked no more. It may be
	// done again.
	RemoveSystem(ctx context.Context, id SystemID) error
	// Asked gives the systems that are asked about a brand's goods: its own and those of
	// all brands, but for those that are removed or switched off.
	Asked(ctx context.Context, brand ids.BrandID) ([]System, error)

	// AddRows must keep all rows or none, once for each request. It gives the push's id.
	AddRows(ctx context.Context, r ids.Request, p Push) (id string, replayed bool, _ error)
	// AddImport must keep the rows for a task that adds them, once for each request.
	AddImport(ctx context.Context, r ids.Request, p Push) (_ ids.TaskID, replayed bool, _ error)
	// Rows gives the newest of what was pushed of an item and of its batch.
	Rows(ctx context.Context, q Ask, limit int) ([]Row, error)
}

// Push is what was pushed at once, of one brand's goods.
type Push struct {
	ID        string
	Brand     ids.BrandID
	Rows      []Row
	CreatedBy string
	CreatedAt time.Time
}

// Asker asks a system about an item. It must keep to limits of its own: redirects are not
// followed, an answer that is too large is none. Its errors are ErrNoAnswer, ErrWrong and
// ErrAddress.
type Asker interface {
	Ask(ctx context.Context, url, token string, q Ask) (Answer, error)
}

// Answer is what a system says.
type Answer struct {
	Code  string // that it answers about
	Parts []Part
}

// Catalog is what the service wants of brands and codes.
type Catalog interface {
	// HasBrand answers a fault for a brand that there is not, or not in the scope.
	HasBrand(ctx context.Context, id ids.BrandID) error
	// Find says what a code is on; ok is false for a code of nobody's.
	Find(code string) (_ Ask, ok bool)
}

// Tasks runs imports.
type Tasks interface {
	Wake(ctx context.Context, id ids.TaskID) error
}
