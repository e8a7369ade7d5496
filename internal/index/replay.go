package index

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"runtime"
	"sync"

	"kula/route"
	"kula/wire"
)

// A log of ten million announcements is read at each start: that is why decoding, which takes two thirds of it, runs on all
// processors, while one goroutine reads and one applies, in the order of the log.
const (
	// chunkRecords is how many announcements are decoded together: half a megabyte, so that handing over costs nothing.
	chunkRecords = 2048
	// chunksAhead bounds what is read and not yet applied, for each processor.
	chunksAhead = 2

	// maxAround is what a record has beside an announcement: its place in what was signed together, the signature, and what CBOR
	// puts around them.
	maxAround = wire.MaxPath*(32+2) + 64 + 36

	// maxRecord bounds a record in bytes.
	maxRecord = recordHead + route.MaxAnnouncement + maxAround
)

// chunk is a piece of the log on its way through replay.
type chunk struct {
	bodies [][]byte
	sums   []uint32 // after each
	signed []wire.Batched
	opened []route.Announcement // of signed
	errs   []error              // of signed: what is no announcement
	read   error                // why the next record could not be read
	ready  chan struct{}
}

// replay reads records to the end of in, or to the first that is none, and calls each with every announcement, in
// order. It says how many bytes were good, their sum, which goes on from that before them, and how many of the records in them hold
// something else than an announcement.
func replay(in io.Reader, before uint32, each func(s wire.Batched, a *route.Announcement)) (good int64, sum uint32, unread int) {
	workers := runtime.GOMAXPROCS(0)
	jobs, order := make(chan *chunk, chunksAhead*workers), make(chan *chunk, chunksAhead*workers)
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		defer close(jobs)
		defer close(order)
		in, sum := bufio.NewReaderSize(in, 1<<20), before
		for more := true; more; {
			c := readChunk(in, &sum)
			more = c.read == nil
			select {
			case order <- c:
				jobs <- c
			case <-stop:
				return
			}
		}
	})
	for range workers {
		running.Go(func() {
			for c := range jobs {
				c.decode()
			}
		})
	}
	defer running.Wait()
	defer close(stop)
	sum = before
	for c := range order {
		<-c.ready
		for i, s := range c.signed {
			if c.errs[i] == nil {
				each(s, &c.opened[i])
			} else {
				unread++
			}
			good += recordHead + int64(len(c.bodies[i]))
			sum = c.sums[i]
		}
		if len(c.signed) < len(c.bodies) {
			return good, sum, unread
		}
	}
	return good, sum, unread
}

// readChunk reads records whose checksums are right, after sum, to which they are added.
func readChunk(in io.Reader, sum *uint32) *chunk {
	c := &chunk{ready: make(chan struct{})}
	for len(c.bodies) < chunkRecords {
		body, err := readBody(in, sum)
		if err != nil {
			c.read = err
			break
		}
		c.bodies, c.sums = append(c.bodies, body), append(c.sums, *sum)
	}
	return c
}

// decode reads what is in a chunk, up to a record that holds nothing signed.
func (c *chunk) decode() {
	defer close(c.ready)
	c.signed = make([]wire.Batched, 0, len(c.bodies))
	c.opened, c.errs = make([]route.Announcement, len(c.bodies)), make([]error, len(c.bodies))
	for i, body := range c.bodies {
		var s wire.Batched
		if wire.Unmarshal(body, &s) != nil {
			return
		}
		c.signed = append(c.signed, s)
		c.opened[i], c.errs[i] = route.Decode(s.Body)
	}
}

// readBody reads one record without decoding it, after sum, to which it is added.
func readBody(in io.Reader, sum *uint32) ([]byte, error) {
	var head [recordHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > route.MaxAnnouncement+maxAround {
		return nil, errors.New("record that is too long")
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(in, body); err != nil {
		return nil, err
	}
	with := crc32.Update(*sum, crc32.IEEETable, body)
	if with != binary.BigEndian.Uint32(head[4:]) {
		return nil, errors.New("record with a wrong checksum, or after another")
	}
	*sum = with
	return body, nil
}
