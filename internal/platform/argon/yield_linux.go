package argon

import "syscall"

// yield makes the calling thread, and what it starts, less urgent than everything else. It still has a sixtieth
// of a core that everybody wants.
func yield() { _ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, niceness) }

const niceness = 19
