package serve

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// routes builds the handler. Methods are checked here and not by the mux, whose own 405 is not JSON.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	route := func(method string, handler http.HandlerFunc, patterns ...string) {
		for _, pattern := range patterns {
			mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == method || r.Method == http.MethodHead && method == http.MethodGet {
					handler(w, r)
					return
				}
				w.Header().Set("Allow", method)
				s.refuse(w, http.StatusMethodNotAllowed, fmt.Errorf("method is %s, want %s", r.Method, method))
			})
		}
	}
	const model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
	route("GET", s.getServer, "/v2", "/v2/{$}")
	route("GET", s.getLive, "/v2/health/live", "/healthz")
	route("GET", s.getReady, "/v2/health/ready", "/readyz")
	route("GET", s.getModels, "/v2/models", "/v2/models/{$}")
	route("GET", s.getModel, model, version)
	route("GET", s.getModelReady, model+"/ready", version+"/ready")
	route("POST", s.infer, model+"/infer", version+"/infer")
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, http.StatusNotFound, fmt.Errorf("no such path: %s; GET /v2/models lists the models", short(r.URL.Path)))
	})
	return s.logged(mux)
}

func (s *Server) getServer(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"name": "layarun", "version": s.options.Version, "extensions": []string{}})
}

func (s *Server) getLive(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"live": true})
}

// getReady says both words, because clients of the protocol read either.
func (s *Server) getReady(w http.ResponseWriter, _ *http.Request) {
	if state := s.phase.Load(); state != ready {
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"live": true, "ready": false, "error": reasons[state]})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"live": true, "ready": true})
}

func (s *Server) getModels(w http.ResponseWriter, _ *http.Request) {
	var names []string
	for _, m := range s.models {
		names = append(names, m.Name)
	}
	writeJSON(w, http.StatusOK, map[string]any{"models": slices.Compact(names)})
}

// metadata is the protocol's description of a model and, under "layarun", what it does not know of.
type metadata struct {
	Name     string   `json:"name"`
	Versions []string `json:"versions,omitempty"`
	Platform string   `json:"platform"`
	Inputs   []spec   `json:"inputs"`
	Outputs  []spec   `json:"outputs"`
	Layarun  struct {
		Digest   string   `json:"digest"`
		Classes  []string `json:"classes"`
		Exits    []int    `json:"exits"`
		Reads    []int    `json:"reads,omitempty"`
		Policies []string `json:"policies"`
	} `json:"layarun"`
}

func (s *Server) getModel(w http.ResponseWriter, r *http.Request) {
	m, ok := s.model(w, r)
	if !ok {
		return
	}
	body := metadata{Name: m.Name, Platform: "gomlx_layarun", Inputs: inputs(m)}
	for _, other := range s.models {
		if other.Name == m.Name && other.Version != "" {
			body.Versions = append(body.Versions, other.Version)
		}
	}
	for _, o := range outputs {
		if !o.explains || len(m.Reads()) > 0 {
			body.Outputs = append(body.Outputs, o.spec(m, -1))
		}
	}
	body.Layarun.Digest, body.Layarun.Classes = m.Digest(), m.Classes()
	body.Layarun.Exits, body.Layarun.Reads = m.Exits(), m.Reads()
	body.Layarun.Policies = policyNames(m)
	writeJSON(w, http.StatusOK, body)
}

func (s *Server) getModelReady(w http.ResponseWriter, r *http.Request) {
	m, ok := s.model(w, r)
	if !ok {
		return
	}
	if state := s.phase.Load(); state != ready {
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"name": m.Name, "ready": false, "error": reasons[state]})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"name": m.Name, "ready": true})
}

// model finds the model of the path, the highest version if the path names none; else it answers 404.
func (s *Server) model(w http.ResponseWriter, r *http.Request) (Model, bool) {
	name, version := r.PathValue("model"), r.PathValue("version")
	known := false
	for _, m := range slices.Backward(s.models) {
		if m.Name != name {
			continue
		}
		known = true
		if version == "" || m.Version == version {
			return m, true
		}
	}
	err := fmt.Errorf("no model %s; GET /v2/models lists the models", short(name))
	if known {
		err = fmt.Errorf("model %s has no version %s; GET /v2/models/%s lists its versions", name, short(version), name)
	}
	s.refuse(w, http.StatusNotFound, err)
	return Model{}, false
}

// byVersion orders models by name, then version: shorter before longer, which for whole numbers is their order.
func byVersion(a, b Model) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(len(a.Version), len(b.Version)), cmp.Compare(a.Version, b.Version))
}

// refuse answers with an error.
func (s *Server) refuse(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, map[string]string{"error": "serve: " + err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic("serve: " + err.Error()) // the values are this file's own
	}
	write(w, status, body)
}

// write sends a body; an error of the connection is the client's to notice.
func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// recorder remembers what was answered, for the log.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.bytes += len(b)
	return r.ResponseWriter.Write(b)
}

// logged writes the access log and, once the server drains, asks clients to connect elsewhere.
func (s *Server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.phase.Load() == draining {
			w.Header().Set("Connection", "close")
		}
		start, rec := time.Now(), &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(rec, r)
		s.options.Logger.Debug("serve: request", "method", r.Method, "path", r.URL.Path, "status", rec.status,
			"bytes", rec.bytes, "duration", time.Since(start), "client", r.RemoteAddr)
	})
}
