// Command kula is all of Kula in one program: see kula --help.
package main

import (
	"context"
	"os"

	"kula/internal/cli"
)

func main() { os.Exit(cli.Main(context.Background(), os.Args[1:])) }
