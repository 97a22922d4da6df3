package servers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	s3Key    = "test-key"
	s3Secret = "test/secret+with=signs" // what a URL must encode
	s3Bucket = "bucket"
	s3Start  = 20 * time.Second
)

// S3 starts an S3 server (versitygw over a directory) for this test and gives the URL
// of its empty bucket.
func S3(t testing.TB) string {
	t.Helper()
	u := s3Of(t, "http")
	u.RawQuery = "tls=0"
	return u.String()
}

// SecureS3 is S3 with TLS; who believes the machine's authorities does not believe it.
func SecureS3(t testing.TB, f TLSFiles) *url.URL {
	t.Helper()
	return s3Of(t, "https", "--cert", f.Cert, "--key", f.Key)
}

func s3Of(t testing.TB, scheme string, args ...string) *url.URL {
	t.Helper()
	bin, err := s3Program()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, s3Bucket), 0o700); err != nil { // a bucket is a directory there
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"--access", s3Key, "--secret", s3Secret, "--port", addr, "--quiet"}, args...)
	cmd := exec.Command(bin, append(args, "posix", root)...)
	cmd.Stderr = os.Stderr
	stop, err := s3Run(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	if err := s3Answers(t.Context(), scheme, addr); err != nil {
		t.Fatal(err)
	}
	return &url.URL{Scheme: "s3", User: url.UserPassword(s3Key, s3Secret), Host: addr, Path: "/" + s3Bucket}
}

func s3Program() (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("where is this repository: %w", err)
	}
	found, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(root)), "bin", "tools", "versitygw-*"))
	if err != nil || len(found) == 0 {
		return "", errors.New("no S3 server: run test/setup/servers.sh, which builds it into bin/tools")
	}
	return found[len(found)-1], nil
}

// s3Run starts a program that ends with this process, however that ends.
func s3Run(cmd *exec.Cmd) (stop func(), err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // the signal comes when the thread that started it ends
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it was killed
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return func() {
		_ = cmd.Process.Kill() // it may have ended already
		<-ended
	}, nil
}

// s3Answers waits until something answers, whoever it says that it is.
func s3Answers(ctx context.Context, scheme, addr string) error {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // nothing is told to it
	}}
	ctx, cancel := context.WithTimeout(ctx, s3Start)
	defer cancel()
	for look := time.NewTicker(20 * time.Millisecond); ; {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+addr, http.NoBody)
		if err != nil {
			return err
		}
		if answer, err := client.Do(r); err == nil {
			return answer.Body.Close()
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("the S3 server did not start: %w", ctx.Err())
		}
	}
}
