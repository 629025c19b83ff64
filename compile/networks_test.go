package compile_test

import (
	"testing"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/laya"
)

// networks are small ones of every kind of backbone.
func networks(t testing.TB) map[string]*compile.Network {
	t.Helper()
	narrow, _ := bothWidths(t)
	return narrow
}

// networksFor are networks that run on a device: native kernels take widths of whole vectors.
func networksFor(t testing.TB, d *compile.Device) map[string]*compile.Network {
	t.Helper()
	narrow, wide := bothWidths(t)
	if d.Native {
		return wide
	}
	return narrow
}

func bothWidths(t testing.TB) (narrow, wide map[string]*compile.Network) {
	t.Helper()
	all := map[string]*compile.Network{}
	add := func(name, backboneJSON string, head laya.Config) {
		b, err := backbone.Decode([]byte(backboneJSON))
		if err != nil {
			t.Fatal(err)
		}
		if all[name], err = compile.NewNetwork(b, head); err != nil {
			t.Fatal(err)
		}
	}
	prefix := func(reads ...int) laya.Config {
		c := laya.Default(reads, 3)
		c.Dim, c.Hidden = 6, 5
		return c
	}
	mlp := `{"kind":"mlp","input":[5],"widths":[8,8,8,8],"residual":true}`
	add("mlp", mlp, prefix(0, 1, 2, 3, 4))
	add("mlp tied", `{"kind":"mlp","input":[5],"widths":[8,8,8,8],"residual":true,"tied":true}`, prefix(0, 2, 4))
	add("mlp gaps", mlp, prefix(2, 4))
	add("mlp joint", mlp, laya.Config{Kind: laya.Joint, Reads: []int{1, 2, 3, 4}, Classes: 3, Dim: 6, Tau: 1.5, Hidden: 5, Psi: "mlp"})
	add("mlp linear", mlp, laya.Config{Kind: laya.Linear, Reads: []int{1, 4}, Classes: 3})
	add("mlp lastlayer", mlp, laya.Config{Kind: laya.LastLayer, Reads: []int{4}, Classes: 3})
	add("resnet", `{"kind":"resnet","input":[8,8,2],"stages":[{"channels":4,"blocks":2},{"channels":6,"blocks":2}],"norm":"folded"}`, prefix(0, 1, 2, 3, 4))
	add("encoder", `{"kind":"encoder","vocab":20,"max_length":32,"layers":3,"dim":8,"heads":2,"hidden":12}`, prefix(0, 1, 2, 3))

	narrow, all = all, map[string]*compile.Network{}
	prefix = func(reads ...int) laya.Config {
		c := laya.Default(reads, 3)
		c.Dim, c.Hidden = 16, 32
		return c
	}
	full := prefix(1, 2)
	full.TapNorm, full.GELU, full.ValueNorm, full.Psi, full.Tau = "layer", true, true, "mlp", 1.5
	plain := prefix(0, 1, 2)
	plain.ExitScale, plain.Correction = false, false
	resnet := `{"kind":"resnet","input":[9,8,2],"stages":[{"channels":16,"blocks":2},{"channels":32,"blocks":2}],"norm":"folded"}`
	add("resnet", resnet, prefix(0, 1, 3, 4))
	add("resnet projected", `{"kind":"resnet","input":[9,8,2],"stages":[{"channels":32,"blocks":1},{"channels":16,"blocks":2}],"norm":"folded","shortcut":"B","tied":true,"stem_stride":2}`, prefix(1, 3))
	add("resnet tied", `{"kind":"resnet","input":[4,4,2],"stages":[{"channels":16,"blocks":1},{"channels":16,"blocks":1},{"channels":16,"blocks":1},{"channels":16,"blocks":1}],"norm":"folded","tied":true}`, prefix(0, 1, 2, 3, 4))
	add("resnet linear", resnet, laya.Config{Kind: laya.Linear, Reads: []int{0, 4}, Classes: 3})
	add("resnet lastlayer", resnet, laya.Config{Kind: laya.LastLayer, Reads: []int{4}, Classes: 3})
	add("resnet head", `{"kind":"resnet","input":[4,5,1],"stages":[{"channels":16,"blocks":2}],"norm":"folded"}`, full)
	encoder := `"kind":"encoder","vocab":20,"max_length":32,"layers":3,"dim":32,"heads":2,"hidden":48`
	add("encoder", `{`+encoder+`}`, prefix(0, 1, 2, 3))
	add("encoder pre", `{`+encoder+`,"norm":"pre","token_types":2,"pad_id":3}`, prefix(1, 3))
	add("encoder pooler", `{`+encoder+`,"pool":"cls","pooler":"tanh","tied":true}`, prefix(0, 1, 2, 3))
	add("encoder relu", `{`+encoder+`,"pooler":"relu"}`, laya.Config{Kind: laya.Linear, Reads: []int{0, 3}, Classes: 3})
	vit := `"kind":"vit","input":[8,12,3],"patch":4,"layers":2,"dim":32,"heads":2,"hidden":48`
	add("vit", `{`+vit+`}`, prefix(0, 1, 2))
	add("vit mean", `{`+vit+`,"pool":"mean"}`, prefix(0, 2))
	mlp = `"kind":"mlp","input":[5],"widths":[16,16,32]`
	add("mlp", `{`+mlp+`,"residual":true}`, prefix(0, 1, 2, 3))
	add("mlp plain", `{`+mlp+`,"norm":"none","tied":true}`, prefix(1, 3))
	add("resnet plain head", `{"kind":"resnet","input":[4,5,1],"stages":[{"channels":16,"blocks":2}],"norm":"folded"}`, plain)
	return narrow, all
}
