package sim

// Fault is a kind of failure that a world can bring.
type Fault string

// The kinds of failure.
const (
	FaultCut        Fault = "session cut"
	FaultDelay      Fault = "delay"
	FaultDuplicate  Fault = "duplicate"
	FaultReorder    Fault = "reorder"
	FaultOneWay     Fault = "one-way partition"
	FaultPartition  Fault = "partition"
	FaultBefore     Fault = "crash before save"
	FaultAfter      Fault = "crash after save"
	FaultMiddle     Fault = "crash between messages"
	FaultUnsynced   Fault = "unsynced writes lost"
	FaultClock      Fault = "clock jump"
	FaultLostDisk   Fault = "disk lost"
	FaultOldCopy    Fault = "old copy"
	FaultStaleIndex Fault = "announcement lost"
	FaultNoIndex    Fault = "index silent"
	FaultReplaced   Fault = "session replaced"
)

// AllFaults are all kinds.
var AllFaults = []Fault{
	FaultCut, FaultDelay, FaultDuplicate, FaultReorder, FaultOneWay, FaultPartition, FaultBefore, FaultAfter, FaultMiddle,
	FaultUnsynced, FaultClock, FaultLostDisk, FaultOldCopy, FaultStaleIndex, FaultNoIndex, FaultReplaced,
}

// Faults are the habits of a world: how likely each failure of a link or index is.
type Faults struct {
	latency   int64 // milliseconds at most, of a usual message
	late      float64
	duplicate float64
	reorder   float64
	blind     int64 // milliseconds at most until a side notices that a session is gone
	forget    float64
	silent    float64
	dawdle    int64 // milliseconds at most
}

func (f *Faults) delay(w *World) int64 {
	if !w.calm && w.chance(f.late) {
		w.Stats.Faults[FaultDelay]++
		return w.between(200, 2500)
	}
	return w.between(1, max(f.latency, 1))
}

func (f *Faults) notice(w *World) int64 {
	if w.calm {
		return 80
	}
	return 80 + f.blind
}
