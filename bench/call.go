package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// caller is one connection to a node's API. It speaks just enough HTTP/1.1, because
// the load generator shares the cores with the nodes: net/http's client would take as
// much of them as a node does. One request at a time.
type caller struct {
	conn net.Conn
	r    *bufio.Reader
	head string // of every request: host and token
	out  []byte
	in   []byte
}

// endpoint is a node's api.json.
type endpoint struct {
	API   string `json:"api"`
	Token string `json:"token"`
	Key   string `json:"key"`
}

func (e endpoint) dial() (*caller, error) {
	host := strings.TrimPrefix(e.API, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return nil, err
	}
	head := " HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: Bearer " + e.Token + "\r\n"
	return &caller{conn: conn, r: bufio.NewReaderSize(conn, 8<<10), head: head}, nil
}

func (c *caller) close() { c.conn.Close() }

// do sends a request and returns the body of a 200, which is valid until the next call.
// key is the Idempotency-Key or "".
func (c *caller) do(method, path, key string, body []byte) ([]byte, error) {
	b := append(c.out[:0], method...)
	b = append(b, ' ')
	b = append(b, path...)
	b = append(b, c.head...)
	if key != "" {
		b = append(b, "Idempotency-Key: "...)
		b = append(b, key...)
		b = append(b, "\r\n"...)
	}
	if body != nil {
		b = append(b, "Content-Type: application/json\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(body)), 10)
		b = append(b, "\r\n"...)
	}
	b = append(b, "\r\n"...)
	c.out = append(b, body...)
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return nil, err
	}
	status, err := c.answer()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if status != 200 && status != 204 {
		return nil, fmt.Errorf("%s %s: %d %s", method, path, status, c.in)
	}
	return c.in, nil
}

// answer reads a response into c.in.
func (c *caller) answer() (status int, err error) {
	line, err := c.line()
	if err != nil {
		return 0, err
	}
	if len(line) < 12 || string(line[:9]) != "HTTP/1.1 " {
		return 0, fmt.Errorf("not HTTP: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, err
	}
	length, chunked := 0, false
	for {
		if line, err = c.line(); err != nil {
			return 0, err
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	c.in = c.in[:0]
	if !chunked {
		return status, c.take(length)
	}
	for {
		if line, err = c.line(); err != nil {
			return 0, err
		}
		n, err := strconv.ParseInt(string(line), 16, 32)
		if err != nil {
			return 0, err
		}
		if err := c.take(int(n)); err != nil {
			return 0, err
		}
		if _, err := c.line(); err != nil || n == 0 {
			return status, err
		}
	}
}

// line reads one, without its end; valid until the next read.
func (c *caller) line() ([]byte, error) {
	b, err := c.r.ReadSlice('\n')
	return bytes.TrimRight(b, "\r\n"), err
}

// take appends n bytes to c.in.
func (c *caller) take(n int) error {
	at := len(c.in)
	c.in = append(c.in, make([]byte, n)...)
	_, err := io.ReadFull(c.r, c.in[at:])
	return err
}

// get asks for a JSON object.
func (c *caller) get(path string, out any) error { return c.call("GET", path, nil, out) }

// call is do with JSON both ways; in may be nil.
func (c *caller) call(method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	b, err := c.do(method, path, "", body)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, out)
}
