package kernel

import "golang.org/x/sys/cpu"

// best are the instructions of this processor, nil if it has none that are known here.
var best = detect()

func detect() *instructions {
	if sets := known(); len(sets) > 0 {
		return sets[0]
	}
	return nil
}

// known are the sets of instructions that this processor has, the best first.
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
