package serve_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/serve"
)

// sign is a stand-in for a *layarun.Runtime: it says whether a number is negative, and is sure of large ones early.
type sign struct{}

func (sign) Digest() string          { return "sha256:5160" }
func (sign) Classes() []string       { return []string{"negative", "positive"} }
func (sign) Dims() []int             { return []int{1} }
func (sign) Exits() []int            { return []int{0, 3} }
func (sign) Reads() []int            { return nil }
func (sign) Policies() []exit.Policy { return nil }

func (sign) Predict(_ context.Context, r layarun.Request) ([]layarun.Answer, error) {
	var answers []layarun.Answer
	for _, v := range r.Values {
		a := layarun.Answer{Label: 0, ExitDepth: 3}
		if v >= 0 {
			a.Label = 1
		}
		if v > 10 || v < -10 {
			a.ExitDepth = 0
		}
		answers = append(answers, a)
	}
	return answers, nil
}

func Example() {
	options := serve.DefaultOptions()
	options.DrainDelay = 0 // no load balancer in front
	server, err := serve.New(options, serve.Model{Name: "sign", Runtime: sign{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background()) // a program takes signal.NotifyContext
	defer stop()
	done := make(chan error)
	go func() { done <- server.Serve(ctx, listener) }()

	response, err := http.Post("http://"+listener.Addr().String()+"/v2/models/sign/infer", "application/json", strings.NewReader(`{
		"inputs": [{"name": "input", "datatype": "FP32", "shape": [2, 1], "data": [-99, 1]}],
		"outputs": [{"name": "label"}, {"name": "exit_depth"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := io.ReadAll(response.Body)
	fmt.Print(string(answer))
	fmt.Println(err, response.Body.Close())

	stop()
	fmt.Println(<-done)
	// Output:
	// {"model_name":"sign","parameters":{"model_digest":"sha256:5160"},"outputs":[{"name":"label","datatype":"BYTES","shape":[2],"data":["negative","positive"]},{"name":"exit_depth","datatype":"INT32","shape":[2],"data":[0,3]}]}
	// <nil> <nil>
	// <nil>
}
