package eval

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"regexp"
)

//go:embed report.html
var pageText string

var page = template.Must(template.New("report").Funcs(template.FuncMap{"numeric": numericCell}).Parse(pageText))

// HTML writes the report as one file that needs nothing else: the figure is inline SVG, and there is no script.
func (r *Report) HTML(w io.Writer, title string) error {
	var figure bytes.Buffer
	if err := r.Plot(&figure); err != nil {
		return err
	}
	err := page.Execute(w, struct {
		Title  string
		Report *Report
		Figure template.HTML
	}{title, r, inlineSVG(figure.Bytes())})
	if err != nil {
		return fmt.Errorf("eval: html: %w", err)
	}
	return nil
}

// inlineSVG is an SVG document without its XML head, which HTML does not want.
func inlineSVG(svg []byte) template.HTML {
	if start := bytes.Index(svg, []byte("<svg")); start > 0 {
		svg = svg[start:]
	}
	return template.HTML(svg)
}

var number = regexp.MustCompile(`^[-+−±<>≤≥~]?\.?[0-9]`)

// numericCell reports whether a cell holds a number, which stands to the right.
func numericCell(cell string) bool { return cell == "–" || cell == "-" || number.MatchString(cell) }
