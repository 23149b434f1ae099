package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const longestBuildLog = 64 * 1024

// build is one run of the compiler. Any number may run at a time; the go command shares the machine among them.
type build struct {
	order     message
	mutex     sync.Mutex
	process   *process
	cancelled bool
	log       bytes.Buffer
}

func newBuild(order message) *build {
	if order.Package == "" {
		order.Package = "."
	}
	return &build{order: order}
}

// run compiles and answers the message that says how it went.
func (b *build) run() map[string]any {
	startedAt := time.Now()
	code, err := b.compile()
	b.mutex.Lock()
	stopped := b.cancelled
	b.mutex.Unlock()
	if stopped || err != nil || code != 0 {
		os.Remove(b.order.Output) // Whatever is there is not whole.
	}
	switch {
	case stopped:
		return cancelled(b.order.ID)
	case err != nil:
		return b.failed(err.Error(), nil, nil)
	case code != 0:
		dir, _ := b.moduleDir()
		return b.failed(parseBuildLog(b.log.String(), b.order.Dir, dir))
	case isArchive(b.order.Output):
		os.Remove(b.order.Output)
		text := "The package %s is not a program: it needs package main and func main()"
		return b.failed(fmt.Sprintf(text, b.order.Package), nil, nil)
	}
	return map[string]any{"t": "built", "id": b.order.ID, "ms": milliseconds(time.Since(startedAt))}
}

func (b *build) compile() (int, error) {
	tool, err := findGo(b.order.Env)
	if err != nil {
		return 0, err
	}
	dir, pkg := b.moduleDir()
	// -trimpath keeps the directory's name out of what is compiled, so that one cache serves every tree.
	argv := []string{tool, "build", "-trimpath", "-ldflags", "-s -w", "-o", b.order.Output}
	env := environment(buildDefaults(), b.order.Env)
	if !hasModule(dir) {
		overlay, err := overlayModule(tool, dir, env)
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(filepath.Dir(overlay))
		argv = append(argv, "-overlay", overlay)
	}
	started, err := b.launch(processSpec{argv: append(argv, pkg), dir: dir, env: env, read: b.read})
	if err != nil || started == nil {
		return 0, err
	}
	code, signal := started.wait()
	started.signalGroup(kill)
	started.drain()
	if signal != "" {
		return 0, fmt.Errorf("The compiler was ended by %s: it may have run out of memory", signal)
	}
	return code, nil
}

// launch starts the compiler unless the build was cancelled before.
func (b *build) launch(spec processSpec) (*process, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.cancelled {
		return nil, nil
	}
	started, err := startProcess(spec)
	b.process = started
	return started, err
}

func (b *build) cancel() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.cancelled = true
	if b.process != nil {
		b.process.signalGroup(kill)
	}
}

// read keeps what the compiler says, and passes on at once what the go command says about its own progress.
func (b *build) read(_ string, from io.Reader) {
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 0, 64*1024), longestLine)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "go: downloading ") || strings.HasPrefix(line, "go: extracting ") {
			say(map[string]any{"t": "log", "gen": 0, "build": b.order.ID, "stream": "err", "line": line})
			continue
		}
		b.mutex.Lock()
		if b.log.Len() < longestBuildLog {
			b.log.WriteString(line + "\n")
		}
		b.mutex.Unlock()
	}
	_, _ = io.Copy(io.Discard, from) // A line beyond the scanner's limit must not block the compiler.
}

func (b *build) failed(text string, file, line any) map[string]any {
	return map[string]any{
		"t": "build-failed", "id": b.order.ID, "message": text, "file": file, "line": line,
		"log": strings.ReplaceAll(b.log.String(), b.order.Dir+string(filepath.Separator), ""),
	}
}

func cancelled(id int) map[string]any {
	return map[string]any{
		"t": "build-failed", "id": id, "message": "cancelled", "file": nil, "line": nil, "log": "",
	}
}

func buildDefaults() map[string]string {
	defaults := map[string]string{"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local"}
	cache, err := os.UserCacheDir()
	keep(defaults, "GOCACHE", filepath.Join(cache, "go-build"), err)
	home, err := os.UserHomeDir()
	keep(defaults, "GOPATH", filepath.Join(home, "go"), err)
	return defaults
}

// keep gives the go command a place in the temporary directory where it cannot write to the usual one, as a user
// without a home in a container.
func keep(defaults map[string]string, name, usual string, err error) {
	if os.Getenv(name) != "" || err == nil && os.MkdirAll(usual, 0o755) == nil {
		return
	}
	defaults[name] = filepath.Join(os.TempDir(), filepath.Base(usual))
}

func findGo(env map[string]string) (string, error) {
	if root := env["GOROOT"]; root != "" {
		if found, err := exec.LookPath(filepath.Join(root, "bin", "go")); err == nil {
			return found, nil
		}
	}
	if found, err := lookPath("go", environment(env)); err == nil {
		return found, nil
	}
	if found, err := exec.LookPath("/usr/local/go/bin/go"); err == nil {
		return found, nil
	}
	return "", fmt.Errorf("The go command was not found on PATH")
}

// moduleDir answers where to build, and which package: a module may begin in the package's own directory.
func (b *build) moduleDir() (dir, pkg string) {
	inner := filepath.Join(b.order.Dir, b.order.Package)
	if !hasModule(b.order.Dir) && hasModule(inner) {
		return inner, "."
	}
	if !strings.HasPrefix(b.order.Package, ".") && !hasModule(b.order.Dir) {
		return b.order.Dir, "./" + b.order.Package
	}
	return b.order.Dir, b.order.Package
}

func hasModule(dir string) bool {
	for _, name := range []string{"go.mod", "go.work"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// overlayModule makes a go.mod that exists for the go command only: the tree may lack one, and is read-only.
func overlayModule(tool, dir string, env []string) (string, error) {
	made, err := os.MkdirTemp("", "apimarket-build-")
	if err != nil {
		return "", err
	}
	mod, overlay := filepath.Join(made, "go.mod"), filepath.Join(made, "overlay.json")
	text := fmt.Sprintf("module app\n\ngo %s\n", languageVersion(tool, env))
	if err := os.WriteFile(mod, []byte(text), 0o600); err != nil {
		return "", err
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(dir, "go.mod"): mod}})
	if err != nil {
		return "", err
	}
	return overlay, os.WriteFile(overlay, replace, 0o600)
}

var goVersion = regexp.MustCompile(`go(\d+\.\d+)`)

// languageVersion is the newest the toolchain knows.
func languageVersion(tool string, env []string) string {
	var said bytes.Buffer
	read := func(stream string, from io.Reader) {
		if stream == "out" {
			_, _ = io.Copy(&said, from) // What is missing is taken for the oldest below.
		}
	}
	started, err := startProcess(processSpec{argv: []string{tool, "env", "GOVERSION"}, env: env, read: read})
	if err == nil {
		started.wait()
		started.drain()
	}
	if found := goVersion.FindSubmatch(said.Bytes()); found != nil {
		return string(found[1])
	}
	return "1.21"
}

// isArchive: the go command writes a library for a package that is not main, without an error.
func isArchive(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return true // Of several packages it writes none.
	}
	defer file.Close()
	head := make([]byte, 8)
	_, err = io.ReadFull(file, head)
	return err != nil || string(head) == "!<arch>\n"
}

var place = regexp.MustCompile(`^(.+?\.(?:go|mod|sum|work)):(\d+)(?::\d+)?: (.+)$`)

// parseBuildLog finds the first message with a place, else the first message. The compiler names files relative to the
// directory it was built in; the file answered is relative to the tree.
func parseBuildLog(log, tree, dir string) (text string, file, line any) {
	for _, each := range strings.Split(log, "\n") {
		each = strings.TrimPrefix(strings.ReplaceAll(each, tree+string(filepath.Separator), ""), "./")
		if found := place.FindStringSubmatch(each); found != nil {
			number, _ := strconv.Atoi(found[2]) // Digits, by the expression.
			inner, err := filepath.Rel(tree, dir)
			if err != nil {
				inner = "."
			}
			return each + advice(each), filepath.ToSlash(filepath.Join(inner, found[1])), number
		}
		if text == "" && each != "" && !strings.HasPrefix(each, "# ") {
			text = each
		}
	}
	if text == "" {
		text = "The compiler failed without a message"
	}
	return text + advice(text), nil, nil
}

func advice(text string) string {
	if strings.Contains(text, "no required module provides") || strings.Contains(text, "missing go.sum entry") {
		return ". Run go mod tidy and save (without a go.mod: go mod init NAME first)"
	}
	return ""
}
