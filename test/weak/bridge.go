package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const packetMax = 1500

// openTun makes a TUN device in a network namespace: 0 is our own, else that of a process.
func openTun(pid int, name string) (*os.File, error) {
	type opened struct {
		file *os.File
		err  error
	}
	done := make(chan opened)
	go func() { // on a thread of its own, which ends with it: it is in another namespace
		runtime.LockOSThread()
		file, err := openTunHere(pid, name)
		done <- opened{file, err}
	}()
	o := <-done
	if o.err != nil {
		return nil, fmt.Errorf("make device %s: %w", name, o.err)
	}
	return o.file, nil
}

func openTunHere(pid int, name string) (*os.File, error) {
	if pid != 0 {
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err != nil {
			return nil, err
		}
		defer func() { _ = ns.Close() }()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return nil, err
		}
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}

// traffic is what one direction carried, lost packets included: they were sent.
type traffic struct {
	packets atomic.Int64
	payload atomic.Int64 // bytes within TCP and UDP
	last    atomic.Int64 // when the last came, in nanoseconds
}

func (t *traffic) note(packet []byte) {
	t.packets.Add(1)
	t.payload.Add(int64(payloadOf(packet)))
	t.last.Store(time.Now().UnixNano())
}

// payloadOf is how much an IPv4 packet carries within TCP or UDP.
func payloadOf(p []byte) int {
	if len(p) < 20 || p[0]>>4 != 4 {
		return 0
	}
	head := int(p[0]&0xf) * 4
	whole := int(binary.BigEndian.Uint16(p[2:]))
	switch {
	case whole > len(p) || whole < head+20 && p[9] == unix.IPPROTO_TCP || whole < head+8:
		return 0
	case p[9] == unix.IPPROTO_UDP:
		return whole - head - 8
	case p[9] == unix.IPPROTO_TCP:
		return whole - head - int(p[head+12]>>4)*4
	default:
		return 0
	}
}

// bridge joins two devices by a link in each direction.
type bridge struct {
	up, down traffic
}

type late struct {
	at     time.Time
	packet []byte
}

// carry moves packets one way until a device is closed.
func (t *traffic) carry(l *link, from, to *os.File) {
	waiting := make(chan late, 10_000)
	go func() { // ends with the channel
		for p := range waiting {
			time.Sleep(time.Until(p.at)) // the link's own time, not a wait for something to happen
			_, _ = to.Write(p.packet)    // the device may be closed
		}
	}()
	defer close(waiting)
	for b := make([]byte, packetMax); ; {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		t.note(b[:n])
		if at, ok := l.admit(time.Now(), n); ok {
			waiting <- late{at, append([]byte(nil), b[:n]...)}
		}
	}
}

// quiet waits until nothing was sent for so long.
func (b *bridge) quiet(long time.Duration) {
	poll := time.NewTicker(long / 10)
	defer poll.Stop()
	for range poll.C {
		last := max(b.up.last.Load(), b.down.last.Load())
		if time.Since(time.Unix(0, last)) > long {
			return
		}
	}
}
