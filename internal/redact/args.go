package redact

import "strings"

// Args returns a copy of a command's arguments without the secrets in them. The argument after a flag like --api-key is one.
func Args(args []string) []string {
	if args == nil {
		return nil
	}
	out := make([]string, len(args))
	w := argWalk{}
	for i, arg := range args {
		out[i] = w.argument(arg)
	}
	return out
}

// argWalk is what the arguments before tell of the next one.
type argWalk struct {
	before  string
	next    bool   // the argument before was a flag that takes a secret
	program string // the last argument that is a program with password flags of its own
	login   bool   // "login" came after the program
}

// passwordFlags are flags that only mean a password after these programs.
var passwordFlags = map[string]struct {
	flag  string
	glued bool // the password follows in the same argument
	login bool // after the word login only
}{
	"mysql": {"-p", true, false}, "mysqldump": {"-p", true, false}, "mysqladmin": {"-p", true, false}, "mysqlimport": {"-p", true, false},
	"mariadb": {"-p", true, false}, "mariadb-dump": {"-p", true, false}, "mariadb-admin": {"-p", true, false},
	"7z": {"-p", true, false}, "7za": {"-p", true, false}, "sshpass": {"-p", false, false},
	"redis-cli": {"-a", false, false}, "redis-benchmark": {"-a", false, false},
	"mongo": {"-p", false, false}, "mongosh": {"-p", false, false}, "mongodump": {"-p", false, false}, "mongorestore": {"-p", false, false},
	"sqlcmd": {"-P", false, false}, "zip": {"-P", false, false}, "unzip": {"-P", false, false},
	"ldapsearch": {"-w", false, false}, "ldapmodify": {"-w", false, false}, "ldapadd": {"-w", false, false}, "ldapwhoami": {"-w", false, false},
	"docker": {"-p", false, true}, "podman": {"-p", false, true}, "nerdctl": {"-p", false, true}, "helm": {"-p", false, true},
	"oc": {"-p", false, true}, "az": {"-p", false, true}, "http": {"-a", false, false}, "https": {"-a", false, false}, "xh": {"-a", false, false},
	"wandb": {}, "curl": {},
}

// userFlags are curl's and others' flags that take user:password, or a user alone.
var userFlags = map[string]bool{"-u": true, "--user": true, "-U": true, "--proxy-user": true, "--auth": true, "-user": true}

// hasPassword tells user:password from a user alone and from the numbers of a user and a group.
func hasPassword(value string) bool {
	user, password, ok := strings.Cut(value, ":")
	return ok && password != "" && strings.Trim(user+password, "0123456789") != ""
}

// argument returns the next argument as it may be recorded.
func (w *argWalk) argument(arg string) string {
	before := w.before
	w.before = arg
	if w.next && !strings.HasPrefix(arg, "-") {
		w.next = false
		return Mark
	}
	if userFlags[before] && hasPassword(arg) || strings.HasPrefix(before, "-pass") && strings.HasPrefix(arg, "pass:") {
		w.next = false
		return Mark
	}
	w.next = strings.HasPrefix(arg, "-") && !strings.ContainsAny(arg, "= ") && SecretName(arg) ||
		before == "set" && SecretName(arg[strings.LastIndexByte(arg, ':')+1:]) || arg == "add-authtoken"
	if hidden, ok := w.byProgram(before, arg); ok {
		return hidden
	}
	if name, value, ok := strings.Cut(arg, "="); ok && value != "" && !isScript(before) && isName(name) && SecretName(name) &&
		!isPlace(name, value) {
		return name + "=" + Mark // the shell has taken the quotes away: all that follows is the value
	}
	if strings.HasPrefix(arg, "--from-literal=") { // of kubectl create secret
		if name, _, ok := strings.Cut(arg[len("--from-literal="):], "="); ok {
			return "--from-literal=" + name + "=" + Mark
		}
	}
	return String(arg)
}

// byProgram hides an argument that is a password to its program.
func (w *argWalk) byProgram(before, arg string) (string, bool) {
	if _, known := passwordFlags[base(arg)]; known {
		w.program, w.login = base(arg), false
		return "", false
	}
	p, known := passwordFlags[w.program]
	switch {
	case !known:
	case w.program == "wandb" && len(arg) >= 32 && isName(arg), w.program == "curl" && before == "-b" && strings.Contains(arg, "="):
		return Mark, true
	case w.program == "curl" && strings.HasPrefix(arg, "-u") && hasPassword(arg[len("-u"):]):
		return "-u" + Mark, true
	case p.flag == "":
	case arg == "login" && p.login:
		w.login = true
	case p.login && !w.login:
	case p.glued && strings.HasPrefix(arg, p.flag) && len(arg) > len(p.flag):
		return p.flag + Mark, true
	case !p.glued && arg == p.flag:
		w.next = true
	}
	return "", false
}

// base is a program's name without its folder.
func base(arg string) string { return arg[strings.LastIndexByte(arg, '/')+1:] }

// isScript tells the flags of shells whose argument is a script: what follows an assignment there is a command.
func isScript(flag string) bool {
	return len(flag) > 1 && flag[0] == '-' && flag[1] != '-' && strings.HasSuffix(flag, "c")
}

// isName tells the left side of an assignment, a flag or a header from other text before an equals sign.
func isName(s string) bool {
	s = strings.TrimLeft(s, "-")
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789_.-") == ""
}
