package kernel

import "golang.org/x/sys/cpu"

// known are the sets of instructions that this processor has.
func known() []*instructions {
	var sets []*instructions
	if cpu.X86.HasAVX512F {
		sets = append(sets, &avx512)
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		sets = append(sets, &avx2)
	}
	return sets
}
