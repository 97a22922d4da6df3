package batchhttp

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/task"
)

const (
	filesPath = "/api/v1/files/"
	fileLabel = "chopmark/file/1"

	// A link lives for 24 hours at least. Its end moves in steps of an hour from the
	// task's creation on, so that a request which is tried again gets the same answer.
	linkLife = 24 * time.Hour
	linkStep = time.Hour
)

var (
	errLinkExpired = fault.New(fault.Denied, "file.link_expired", "this download link has expired; ask for the task again to get a new one")
	errNoFileAuth  = fault.New(fault.Unauthenticated, "file.bad_link", "needs the whole download_url of its task, or Authorization: Bearer and a valid key")
)

// fileTask is the answer to a request that makes a file.
type fileTask struct {
	TaskID        ids.TaskID `json:"task_id"`
	EstimatedTime int64      `json:"estimated_time"` // seconds
	DownloadURL   string     `json:"download_url"`
}

// fileTask describes the task that will write a file.
func (a *api) fileTask(ctx context.Context, id ids.TaskID) (fileTask, error) {
	t, err := a.Tasks.Find(ctx, id)
	if err != nil {
		return fileTask{}, err
	}
	return fileTask{t.ID, estimateSeconds(&t), a.downloadURL(&t)}, nil
}

// estimateSeconds says how long the whole file takes on a small machine.
func estimateSeconds(t *task.Task) int64 {
	const rowsPerSecond, labelsPerSecond = 200_000, 500
	rate := int64(rowsPerSecond)
	if strings.HasSuffix(t.File, ".pdf") {
		rate = labelsPerSecond
	}
	return max(1, (t.Total+rate-1)/rate)
}

// downloadURL is the link under which a task's file can be fetched without a key.
func (a *api) downloadURL(t *task.Task) string {
	age := max(0, a.Clock.Now().Sub(t.CreatedAt)).Truncate(linkStep)
	expires := t.CreatedAt.Add(age + linkStep + linkLife).Unix()
	q := url.Values{"expires": {strconv.FormatInt(expires, 10)}, "sig": {a.sign(t.File, expires)}}
	return a.Service.PublicURL + filesPath + t.File + "?" + q.Encode()
}

func (a *api) sign(name string, expires int64) string {
	mac := hmac.New(sha256.New, a.DownloadKey[:])
	mac.Write([]byte(fileLabel + "\x00" + name + "\x00" + strconv.FormatInt(expires, 10)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// checkLink judges the expires and sig of a link.
func (a *api) checkLink(name string, q url.Values) error {
	expires, err := strconv.ParseInt(q.Get("expires"), 10, 64)
	if err != nil || !hmac.Equal([]byte(a.sign(name, expires)), []byte(q.Get("sig"))) {
		return errNoFileAuth
	}
	if a.Clock.Now().Unix() >= expires {
		return errLinkExpired
	}
	return nil
}
