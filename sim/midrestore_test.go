package sim

import (
	"testing"

	"kula/node"
)

// midRestore is a payee that was restored from its phrase while one friend is away, and waits for it.
func midRestore() (w *World, payee, away, here *Member) {
	w, payee, away, here = shop()
	payee.Crash()
	payee.Start()
	w.Run(5000) // by now each friend keeps the heads that name the other
	paid(w, w.PayInvoice(away, payee, 3))
	paid(w, w.PayInvoice(here, payee, 5))
	away.Crash()
	payee.Crash()
	payee.putBack(nil)
	payee.Start()
	w.Run(5000)
	w.assert(payee.with(away) != nil && payee.with(here) != nil && !payee.with(here).Ready, "the restore is not under way: %+v, %+v", payee.with(away), payee.with(here))
	return w, payee, away, here
}

// again puts an earlier disk back.
func (w *World) again(m *Member, d *disk) {
	m.Crash()
	m.disk = d
	m.Start()
	w.Run(5000)
}

// A copy from the midst of a restore is an old copy like any other: nothing is signed before the friend has shown what
// it holds now (spec C-38), though patience is over long since.
func TestScenario15CopyOfARestore(t *testing.T) {
	for _, later := range []int64{1, 40_000} {
		w, payee, away, here := midRestore()
		copied := payee.disk.clone()
		w.until("it goes on", func() bool { w.Run(100); return payee.with(here).Ready })
		paid(w, w.PayInvoice(here, payee, 2))
		w.Run(later)
		w.again(payee, copied)
		w.Run(35_000)
		v := payee.with(here)
		w.assert(v.Ready && v.State == node.Opened && here.with(payee).State == node.Opened, "the payee shows %+v, the friend %+v", v, here.with(payee))
		w.assert(payee.Between(here, FST) == 7, "%d with the friend that was there", payee.Between(here, FST))
		away.Start()
		w.Run(5000)
		w.Expect("both are back", FST, 10, -3, -7)
		paid(w, w.PayInvoice(here, payee, 1))
		paid(w, w.PayInvoice(away, payee, 1))
		w.Expect("and pay", FST, 12, -4, -8)
		finish(t, w)
	}
}

// What such a copy holds as open may have been paid since, by the friend that had shown what it holds as by the one that came later (spec P-22).
func TestScenario15CopyOfARestoreInvoice(t *testing.T) {
	for _, late := range []bool{false, true} {
		w, payee, away, here := midRestore()
		i := w.Invoice(payee, fst(10), false)
		copied := payee.disk.clone()
		w.Run(30_000)
		away.Start()
		w.Run(5000)
		first, second := here, away
		if late {
			first, second = away, here
		}
		paid(w, w.pays(first, i))
		w.again(payee, copied)
		w.Run(35_000)
		w.pays(second, i)
		w.assert(payee.Balance(FST) == 18, "late %v: %d at the payee", late, payee.Balance(FST))
		finish(t, w)
	}
}
