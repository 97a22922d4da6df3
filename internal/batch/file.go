package batch

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Format is the form of a file of codes.
type Format string

// The formats.
const (
	FormatCSV    Format = "csv"    // a zip with one CSV: no,code,url
	FormatNDJSON Format = "ndjson" // one JSON object a line
	FormatLabels Format = "labels-pdf"
)

// The layouts of a label sheet.
const (
	LayoutA4   = "a4"
	LayoutRoll = "roll-50x30"
)

// The kinds and steps of the file tasks; the steps bear the seed's names.
const (
	TaskGenerate = "generate"
	TaskExport   = "export"

	StepValidate = "ValidateRequest"
	StepReserve  = "ReserveCodes"
	StepGenerate = "GenerateCodes"
	StepNotify   = "NotifyCompletion"
)

// LabelsMax is how many labels one PDF may have.
const LabelsMax = 10_000

// FileSpec says how a file of codes is to look.
type FileSpec struct {
	Format Format `json:"format"`
	Layout string `json:"layout,omitempty"` // of labels
	Link   string `json:"link,omitempty"`   // "short" (default) or "gs1": the Digital Link of products with a GTIN
}

func (f *FileSpec) check() error {
	switch f.Format {
	case "":
		f.Format = FormatCSV
	case FormatCSV, FormatNDJSON, FormatLabels:
	default:
		return fault.Field("export.bad_format", "format", `must be "csv", "ndjson" or "labels-pdf"`)
	}
	switch f.Layout {
	case "":
		f.Layout = LayoutA4
	case LayoutA4, LayoutRoll:
	default:
		return fault.Field("export.bad_layout", "layout", `must be "a4" or "roll-50x30"`)
	}
	switch f.Link {
	case "":
		f.Link = "short"
	case "short", "gs1":
	default:
		return fault.Field("export.bad_link", "link", `must be "short" or "gs1"`)
	}
	return nil
}

// fileName is the name of the file that a task makes.
func (f *FileSpec) fileName(id ids.TaskID) string {
	switch f.Format {
	case FormatNDJSON:
		return string(id) + ".ndjson"
	case FormatLabels:
		return string(id) + ".pdf"
	default:
		return string(id) + ".zip"
	}
}

// FileJob is the payload of a file task: everything that its handler needs to
// know, fixed when the task was accepted.
type FileJob struct {
	BatchID ids.BatchID   `json:"batch_id"`
	Spec    FileSpec      `json:"spec"`
	Runs    Runs          `json:"runs"`
	Release []ids.ClaimID `json:"release,omitempty"` // claimed for this file: given back when it fails
}

// newTask prepares a file task that works on what pick chooses of the claims that
// are made with it.
func (s *Service) newTask(cmd Command, kind string, b *Batch, spec FileSpec, pick func([]Claim) (Runs, []ids.ClaimID)) *NewTask {
	id := ids.TaskID(ids.Beside(string(b.ID), "task"))
	return &NewTask{
		ID: id, BrandID: b.BrandID, Kind: kind, Step: StepReserve, File: spec.fileName(id), CreatedBy: cmd.Actor, CreatedAt: s.clock.Now(),
		Payload: func(claimed []Claim) (json.RawMessage, int64, error) {
			job := FileJob{BatchID: b.ID, Spec: spec}
			job.Runs, job.Release = pick(claimed)
			total := job.Runs.Count()
			if total == 0 {
				return nil, 0, fault.New(fault.Conflict, "export.nothing", "no claimed numbers in this range; claim some or ask for unclaimed")
			}
			if spec.Format == FormatLabels && total > LabelsMax {
				return nil, 0, fault.Field("export.too_many_labels", "to_no", "asks for %d labels, one PDF holds at most %d: ask for parts", total, LabelsMax)
			}
			raw, err := json.Marshal(job)
			return raw, total, err
		},
	}
}

// claimedRuns is the pick of exactly what was claimed.
func claimedRuns(claimed []Claim) (Runs, []ids.ClaimID) {
	var runs Runs
	release := make([]ids.ClaimID, 0, len(claimed))
	for _, c := range claimed {
		runs = runs.Union(Runs{{c.From, c.To}})
		release = append(release, c.ID)
	}
	return runs, release
}

// Linker builds what marks and files carry of a batch's codes. It serves one
// goroutine at a time and allocates nothing for each code.
type Linker struct {
	svc    *Service
	batch  *Batch
	coder  *codebook.Coder
	prefix string                // before the code
	token  bool                  // display marks: the link's token behind the code
	signer *codebook.BatchSigner // nil = labels are not signed
	err    error                 // why they cannot be
	at     time.Time
	epoch  uint64
}

// Linker makes the Linker of a batch for this moment. gtin is "" for the short link.
func (s *Service) Linker(b *Batch, gtin gs1.GTIN) *Linker { return s.LinkerAt(b, gtin, s.clock.Now()) }

// LinkerAt makes the Linker of a batch for another moment, so that a file that was
// begun then goes on with the same token links.
func (s *Service) LinkerAt(b *Batch, gtin gs1.GTIN, at time.Time) *Linker {
	l := &Linker{svc: s, batch: b, coder: s.items.Coder(), prefix: s.PublicURL + "/", at: at}
	if b.SignatureKeyID != "" {
		l.prefix = upperOrigin(s.PublicURL) + "/"
		l.signer, l.err = b.signer(s.keys)
	}
	if gtin != "" {
		l.prefix += "01/" + string(gtin) + "/21/"
	}
	if b.Mark == Display {
		l.prefix, l.token = upperOrigin(s.PublicURL)+"/", true
		l.epoch = codebook.Epoch(at, b.CreatedAt, b.RotateEvery)
	}
	return l
}

// Clone makes a Linker of the same batch and moment for another goroutine.
func (l *Linker) Clone() *Linker {
	c := *l
	c.coder = l.svc.items.Coder()
	return &c
}

// At is the moment whose token links it gives.
func (l *Linker) At() time.Time { return l.at }

// HasInner reports whether the batch has inner codes.
func (l *Linker) HasInner() bool { return l.batch.InnerKeyID != "" }

// AppendCode appends the code of a number.
func (l *Linker) AppendCode(dst []byte, no int64) []byte {
	return l.coder.AppendCode(dst, l.batch.Serial(no))
}

// AppendURL appends the link of a number whose code is known. For a display mark
// it is the token link of the Linker's moment, for a version-1 item.
func (l *Linker) AppendURL(dst []byte, no int64, code []byte) ([]byte, error) {
	dst = append(append(dst, l.prefix...), code...)
	switch {
	case l.err != nil:
		return dst, l.err
	case l.signer != nil:
		return appendSignature(dst, l.signer, codebook.Code(code)), nil
	case !l.token:
		return dst, nil
	}
	token, err := l.svc.keys.Token(l.batch.Serial(no), 1, periodSeconds(l.batch.RotateEvery), l.epoch)
	if err != nil {
		return dst, err
	}
	return append(append(dst, '/'), token[:]...), nil
}

// signer signs the labels of a batch that has signed ones.
func (b *Batch) signer(keys Keys) (*codebook.BatchSigner, error) {
	signer, err := keys.LabelSigner(b.SignatureKeyID)
	if err != nil {
		return nil, err
	}
	return signer.Batch(codebook.LabelClaims{IssuedAt: b.CreatedAt, GTIN: string(b.SignatureGTIN), Lot: b.No, Expires: b.ExpiresAt}), nil
}

// appendSignature completes the link of a signed label.
func appendSignature(link []byte, s *codebook.BatchSigner, code codebook.Code) []byte {
	return s.AppendSignature(append(link, "?"+codebook.LabelParam+"="...), code)
}

// InnerCode is the inner code of a number; "" when the batch has none.
func (l *Linker) InnerCode(no int64) (string, error) {
	if l.batch.InnerKeyID == "" {
		return "", nil
	}
	c, err := l.svc.keys.InnerCode(l.batch.InnerKeyID, l.batch.Serial(no))
	return c.String(), err
}

// AppendInner appends the inner code of a number of a batch that has them.
func (l *Linker) AppendInner(dst []byte, no int64) ([]byte, error) {
	c, err := l.svc.keys.InnerCode(l.batch.InnerKeyID, l.batch.Serial(no))
	if err != nil {
		return dst, err
	}
	return append(dst, c[:]...), nil
}

// upperOrigin puts scheme and host into upper case, which keeps a QR code
// alphanumeric; a path, which has a case, stays.
func upperOrigin(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	host, path, _ := strings.Cut(rest, "/")
	if path != "" {
		path = "/" + path
	}
	return strings.ToUpper(scheme+"://"+host) + path
}
