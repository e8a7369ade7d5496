// Command plants asks whether the simulator would notice: it breaks one protocol rule at a
// time and runs the simulator's tests until one fails.
//
//	go run ./sim/plants [-seeds N] [-v] [name…]
//
// For each plant it prints what found it, and how long that took; last, that without a plant
// everything passes. It exits with 1 if a plant was not found, does not apply or does not
// build, or if the untouched tree fails; with 2 if it was called wrongly. Nothing in the tree
// is changed: the altered files reach the compiler through go's -overlay.
//
// # A plant
//
// A plant is a file NAME.plant in this directory:
//
//	What the bug does, in one line.
//	rule C-22, P-51
//	@@ credit/judge.go
//	 		l, err := j.remove(n)
//	-		if !j.mayDrop(n) {
//	+		if false {
//
// The first line says what is wrong, the second which rules of spec/ or of the design it
// breaks. "@@ file" begins an edit of a file named from the module's root; an edit is lines
// that stay (" "), go ("-") and come ("+"), as in a patch without line numbers. The lines that
// stay and go must be in the file exactly once, one after the other; white space at the ends of a
// line does not count. So a plant survives edits around it, and fails loudly when the line that it
// breaks is changed. Lines that begin with # and empty lines between edits are skipped. The test
// of this package checks that every plant still applies.
//
// # What counts as found
//
// Only the simulator may find a plant: scenarios, a few seeds, traces, all seeds and crash points of
// package sim, in this order. A failure, a panic and a test that does not end all count. What does not: a run
// whose only complaint is that some fault or lie was too rare, for that says nothing about the bug.
package main
