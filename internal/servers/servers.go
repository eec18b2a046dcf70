package servers

import (
	"net"
	"path"
	"slices"
	"strings"
)

// Server is a command line of a server we know.
type Server struct {
	Name string // "vllm" or "sglang"
	// Missing are the arguments that the command line lacks to export spans; they are to be appended.
	Missing []string
	// Elsewhere is the endpoint that the command line itself names for spans; empty when it names none.
	Elsewhere string
	// Health is the URL that answers 200 once the server is ready; empty when the command line does not tell.
	Health string
}

// endpointFlag is the flag of both servers that says where spans go.
const endpointFlag = "otlp-traces-endpoint"

// Detect recognises the command line argv. hostPort is where the server's spans shall go. A command line that only asks for
// help or the version starts no server.
func Detect(argv []string, hostPort string) (Server, bool) {
	name, rest := identify(argv)
	if slices.ContainsFunc(rest, isQuestion) {
		return Server{}, false
	}
	flags := parseFlags(rest)
	switch name {
	case "vllm":
		s := Server{Name: name, Elsewhere: flags[endpointFlag], Health: health(flags, "8000")}
		if !flags.has(endpointFlag) {
			s.Missing = []string{"--" + endpointFlag, "http://" + hostPort}
		}
		return s, true
	case "sglang":
		s := Server{Name: name, Elsewhere: flags[endpointFlag], Health: health(flags, "30000")}
		if !flags.has("enable-trace") {
			s.Missing = append(s.Missing, "--enable-trace")
		}
		if !flags.has(endpointFlag) {
			s.Missing = append(s.Missing, "--"+endpointFlag, hostPort)
		}
		return s, true
	}
	return Server{}, false
}

// isQuestion tells whether arg makes a server print something and end. vLLM's help takes a topic.
func isQuestion(arg string) bool {
	name, _, _ := strings.Cut(arg, "=")
	return name == "-h" || name == "--help" || name == "--version"
}

// identify returns the server that argv starts and the arguments the server sees; an empty name for any other command.
func identify(argv []string) (name string, rest []string) {
	if len(argv) == 0 {
		return "", nil
	}
	// On Windows paths have backslashes and programs a suffix.
	program := strings.TrimSuffix(path.Base(strings.ReplaceAll(argv[0], `\`, "/")), ".exe")
	rest = argv[1:]
	switch {
	case program == "vllm" || program == "sglang":
		if len(rest) > 0 && rest[0] == "serve" {
			return program, rest[1:]
		}
	case strings.HasPrefix(program, "python") || strings.HasPrefix(program, "pypy"):
		module, rest := pythonModule(rest)
		switch module {
		case "vllm.entrypoints.openai.api_server":
			return "vllm", rest
		case "sglang.launch_server":
			return "sglang", rest
		case "vllm", "vllm.entrypoints.cli.main", "sglang.cli.main":
			if len(rest) > 0 && rest[0] == "serve" {
				server, _, _ := strings.Cut(module, ".")
				return server, rest[1:]
			}
		}
	}
	return "", nil
}

// pythonModule returns the module that an interpreter's arguments run with -m, and the arguments after it.
func pythonModule(args []string) (module string, rest []string) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "-m" && i+1 < len(args):
			return args[i+1], args[i+2:]
		case strings.HasPrefix(arg, "-m"):
			return arg[2:], args[i+1:]
		case arg == "-X" || arg == "-W" || arg == "--check-hash-based-pycs":
			i++ // takes a value
		case !strings.HasPrefix(arg, "-") || arg == "-" || arg == "-c" || arg == "--":
			return "", nil // a script, standard input or code
		}
	}
	return "", nil
}

// flagSet has the flags of a command line by name, without dashes in front and with dashes for underscores.
type flagSet map[string]string

func parseFlags(args []string) flagSet {
	flags := make(flagSet)
	for i, arg := range args {
		if !strings.HasPrefix(arg, "--") {
			continue
		}
		name, value, inline := strings.Cut(arg[2:], "=")
		if !inline && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			value = args[i+1]
		}
		flags[strings.ReplaceAll(name, "_", "-")] = value
	}
	return flags
}

// has reports whether name is given, also by one of the abbreviations that Python's argparse takes.
func (f flagSet) has(name string) bool {
	if _, ok := f[name]; ok {
		return true
	}
	for given := range f {
		if len(given) >= len("otlp") && strings.HasPrefix(name, given) {
			return true
		}
	}
	return false
}

// health returns where the server answers once it is ready. A server without a front end of its own, or with one on a Unix
// socket or behind a configuration file, tells nothing here.
func health(flags flagSet, defaultPort string) string {
	for _, name := range []string{"headless", "uds"} {
		if _, ok := flags[name]; ok {
			return ""
		}
	}
	port, given := flags["port"]
	if !given {
		if _, ok := flags["config"]; ok {
			return ""
		}
		port = defaultPort
	}
	host := flags["host"]
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::", "[::]":
		host = "::1"
	}
	scheme := "http"
	if flags["ssl-certfile"] != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(strings.Trim(host, "[]"), port) + "/health"
}
