package main

import (
	"crypto/rand"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kula/ident"
)

// floor is what single steps take on this machine at this moment, medians.
type floor struct {
	sync, sign, verify, trip time.Duration
}

// need is how many of them one payment takes one after the other.
type need struct{ sync, sign, verify, trip int }

// needs is the table of the package comment.
func needs(f form, channels int) need {
	if f == pushes {
		return need{channels + 4, channels + 2, channels + 2, 2*channels + 1}
	}
	return need{channels + 2, channels, channels + 1, channels + 1}
}

func (f floor) of(n need) time.Duration {
	return f.sync*time.Duration(n.sync) + f.sign*time.Duration(n.sign) + f.verify*time.Duration(n.verify) + f.trip*time.Duration(n.trip)
}

const (
	blockSize = 4 << 10 // what one small commit writes
	tripSize  = 192     // bytes of a short message
)

func (b *bench) floor() (f floor, err error) {
	if f.sync, err = b.syncTime(); err != nil {
		return f, err
	}
	if f.trip, err = b.tripTime(); err != nil {
		return f, err
	}
	var seed [32]byte
	rand.Read(seed[:])
	key := ident.NewKey(seed)
	msg := make([]byte, tripSize)
	sig := key.Sign("kula/bench/1", msg)
	f.sign, err = b.median(func(int) error { key.Sign("kula/bench/1", msg); return nil })
	if err != nil {
		return f, err
	}
	f.verify, err = b.median(func(int) error { key.Verify(key.ID(), "kula/bench/1", msg, sig); return nil })
	return f, err
}

// median is that of b.floors repetitions.
func (b *bench) median(step func(i int) error) (time.Duration, error) {
	times := make([]time.Duration, b.floors)
	for i := range times {
		began := time.Now()
		if err := step(i); err != nil {
			return 0, err
		}
		times[i] = time.Since(began)
	}
	return percentile(times, 50), nil
}

// syncTime appends blocks to a file whose space is there already and waits for the disk each time.
func (b *bench) syncTime() (time.Duration, error) {
	f, err := os.Create(filepath.Join(b.work, "floor"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(make([]byte, b.floors*blockSize)); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	block := make([]byte, blockSize)
	rand.Read(block)
	return b.median(func(i int) error {
		if _, err := f.WriteAt(block, int64(i)*blockSize); err != nil {
			return err
		}
		return syncData(f)
	})
}

// tripTime sends a message over loopback and waits for it to come back.
func (b *bench) tripTime() (time.Duration, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	echoed := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) // by read and write, as programs do
			c.Close()
		}
		echoed <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return 0, err
	}
	msg := make([]byte, tripSize)
	d, err := b.median(func(int) error {
		if _, err := c.Write(msg); err != nil {
			return err
		}
		_, err := io.ReadFull(c, msg)
		return err
	})
	c.Close()
	if e := <-echoed; err == nil {
		err = e
	}
	return d, err
}

// percentile sorts times.
func percentile(times []time.Duration, p int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[min(len(times)-1, len(times)*p/100)]
}
