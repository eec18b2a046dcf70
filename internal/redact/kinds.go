package redact

import (
	"regexp"
	"strings"
	"sync"
)

// kind is one kind of secret that is known by its shape or its surroundings.
type kind struct {
	hints   []string // in lower case; one of them is in every text with such a secret
	pattern string
	keep    string                  // replaces a match; $1 and so on are parts of it. Empty for Mark alone
	is      func(match string) bool // looks closer at a match; nil for no need
	all     func(s string) string   // instead of a pattern

	once     sync.Once
	compiled *regexp.Regexp
}

// hide returns s without secrets of this kind. Patterns are compiled when they are first needed: most commands that run need
// none.
func (k *kind) hide(s string) string {
	if k.all != nil {
		return k.all(s)
	}
	k.once.Do(func() { k.compiled = regexp.MustCompile(k.pattern) })
	keep := k.keep
	if keep == "" {
		keep = Mark
	}
	if k.is == nil {
		return k.compiled.ReplaceAllString(s, keep)
	}
	return k.compiled.ReplaceAllStringFunc(s, func(match string) string {
		if !k.is(match) {
			return match
		}
		return k.compiled.ReplaceAllString(match, keep)
	})
}

// kinds are looked for one after the other; there may be 64 of them. Their patterns do not match Mark.
var kinds = []*kind{
	{hints: nameHints, all: pairs},
	{hints: []string{"private key"}, pattern: `-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----` +
		`(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|$)`}, // PEM, OpenSSH, PGP
	{hints: []string{"://"}, pattern: `([A-Za-z][A-Za-z0-9+.-]*://)[^/\s:@"'\[]*:[^/\s"'\[]*@`, keep: "${1}" + Mark + "@"},
	{hints: []string{"://"}, pattern: `(https?://)[A-Za-z0-9_~.-]{16,}@`, keep: "${1}" + Mark + "@"}, // a token alone, Sentry's DSN
	{hints: []string{"bearer", "basic"}, pattern: `(?i)\b(?:bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}`, is: isScheme},

	// By shape. Most of these are published by their services for secret scanners to know them.
	shape(`(?:(?:c|pc)?sk[-_]|rk_|esecret_|pk-lf-)[A-Za-z0-9_-]{12,}`, "sk-", "rk_", "sk_", "esecret_", "pk-lf-"), // OpenAI and many after it, Stripe, Cerebras, Pinecone
	shape(`(?:(?:hf|api_org|gsk|r8|fw|rpa|jina|lsv2_[a-z]{2}|tgp_v1|wandb_v1)_|(?:pplx|tvly|nvapi|xai|ak|as)-)[A-Za-z0-9_-]{16,}`,
		"hf_", "api_org_", "gsk_", "r8_", "pplx-", "fw_", "rpa_", "jina_", "tvly-", "lsv2_", "tgp_v1_", "wandb_v1_", "nvapi-", "xai-", "ak-", "as-"), // models and their hosts
	shape(`hf_[A-Za-z0-9]{12,}`, "hf_"), // Hugging Face
	shape(`gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}`, "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), // GitHub
	shape(`gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat|oas)-[A-Za-z0-9_.-]{16,}`, "gl"),                              // GitLab
	shape(`xox[a-z]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}`, "xox", "xapp-"),                                    // Slack
	{hints: []string{"hooks.slack.com", "/api/webhooks/", "/webhookb2/", "hooks.zapier.com", "discord"},
		pattern: `(hooks\.slack\.com/(?:services|workflows|triggers)/|/api/webhooks/|/webhookb2/|hooks\.zapier\.com/hooks/catch/)[^\s"'?#\[\\]{8,}`,
		keep:    "${1}" + Mark},
	shape(`(?:npm|dckr_pat|dckr_oat|figd|ntn|sbp|lin_api|lin_oauth|bkua|pscale_(?:tkn|pw|oauth))_[A-Za-z0-9_-]{16,}`,
		"npm_", "dckr_", "figd_", "ntn_", "sbp_", "lin_", "bkua_", "pscale_"),
	shape(`pypi-[A-Za-z0-9_-]{16,}`, "pypi-"),
	shape(`AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_.-]{16,}|GOCSPX-[A-Za-z0-9_-]{16,}`, "aiza", "ya29.", "gocspx-"),   // Google
	shape(`(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}|ABSK[A-Za-z0-9+/]{32,}={0,2}`, "akia", "asia", "abia", "acca", "absk"), // AWS
	shape(`eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`, "eyj"),                                              // JSON web token
	shape(`whsec_[A-Za-z0-9+/=]{16,}`, "whsec_"),                                                                      // Stripe's and Svix's webhooks
	shape(`SG\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}|xkeysib-[a-f0-9-]{32,}|[0-9a-f]{32}-us[0-9]{1,2}`, "sg.", "xkeysib-", "-us"),
	shape(`SK[0-9a-f]{32}`, "sk"), // Twilio
	shape(`do[opr]_v1_[a-f0-9]{32,}|dapi[a-f0-9]{32}(?:-\d)?|dop_v1_[a-f0-9]{32,}`, "_v1_", "dapi"),                        // DigitalOcean, Databricks
	shape(`gl(?:sa|c)_[A-Za-z0-9_+/=-]{16,}`, "glsa_", "glc_"),                                                             // Grafana
	shape(`hv[sbr]\.[A-Za-z0-9_-]{16,}|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{32,}`, "hvs.", "hvb.", "hvr.", ".atlasv1."), // HashiCorp
	shape(`NR(?:AK|JS|II|BR)-[A-Za-z0-9_-]{16,}|sntry[su]_[A-Za-z0-9_=+/.-]{16,}|dt0[a-z]\d\d\.[A-Z0-9]{16,}\.[A-Z0-9]{32,}`,
		"nrak-", "nrjs-", "nrii-", "nrbr-", "sntry", "dt0"), // New Relic, Sentry, Dynatrace
	shape(`PMAK-[A-Za-z0-9-]{16,}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{16,}|dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9.]{16,}|tskey-[A-Za-z0-9-]{12,}`,
		"pmak-", "shp", "dp.", "tskey-"),
	shape(`pul-[a-f0-9]{32,}|AGE-SECRET-KEY-1[A-Z0-9]{16,}|ATATT3[A-Za-z0-9_=-]{16,}|ATCTT3[A-Za-z0-9_=-]{16,}|HRKU-[A-Za-z0-9_-]{16,}|sq0[a-z]{3}-[A-Za-z0-9_-]{16,}`,
		"pul-", "age-secret-key-", "atatt3", "atctt3", "hrku-", "sq0"),
	shape(`[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}`, "q~"),                                              // Azure AD's client secrets
	shape(`(?:bot)?[0-9]{8,10}:A[A-Za-z0-9_-]{34}`, ":a"),                                                       // Telegram
	shape(`key-[0-9a-f]{32}|fo1_[A-Za-z0-9_-]{16,}|FlyV1 fm\d_[A-Za-z0-9+/=_,-]{16,}`, "key-", "fo1_", "flyv1"), // Mailgun, Fly

	{hints: []string{"auth\""}, pattern: `("_?auth"\s*:\s*")[A-Za-z0-9+/=]{8,}`, keep: "${1}" + Mark}, // Docker

	// By their place in a URL: signatures and keys in a query.
	{hints: []string{"sig", "key=", "code=", "auth=", "session", "sid=", "hmac=", "pass="},
		pattern: `([?&;](?:X-(?:Amz|Goog|Obs|Oss)-)?(?i:sig|signature|key|code|auth|session|sessionid|sid|hmac|pass)=)([^&\s"'#;\[]+)`,
		keep:    "${1}" + Mark, is: isQuerySecret},
	// By the program.
	{hints: []string{"mysql", "mariadb"}, pattern: `(\b(?:mysql|mariadb)[\w-]*\s[^\n|;&]*?(?:\s|^)-p)[^\s"'\[]+`, keep: "${1}" + Mark},
	{hints: []string{"sshpass"}, pattern: `(\bsshpass\s+-p\s*)(?:"[^"]*"|'[^']*'|[^\s"'\[]+)`, keep: "${1}" + Mark},
	{hints: []string{"redis-cli", "login", "mongo", "ldap", "sqlcmd"}, pattern: `(\b(?:redis-cli\s[^\n|;&]*?(?:-a|--pass)|(?:docker|podman|nerdctl|helm|oc|az|skopeo|buildah)\s[^\n|;&]*?login\s[^\n|;&]*?-p|mongo\w*\s[^\n|;&]*?-p|ldap\w+\s[^\n|;&]*?-w|sqlcmd\s[^\n|;&]*?-P)\s+)(?:"[^"]*"|'[^']*'|[^\s"'\[]+)`, keep: "${1}" + Mark},
	{hints: []string{"wandb"}, pattern: `(\bwandb\s+login\s[^\n|;&]*?)\b[0-9a-zA-Z]{32,}`, keep: "${1}" + Mark},
	{hints: []string{"pass:"}, pattern: `((?:-pass(?:in|out)?)\s+["']?pass:)[^\s"'\[]+`, keep: "${1}" + Mark}, // openssl
	{hints: []string{"curl"}, pattern: `(\bcurl\s[^\n|;&]*?-u)[^\s"':\[]+:[^\s"']+`, keep: "${1}" + Mark},
	// By the words of an error or a statement.
	{hints: []string{"key", "token", "password", "secret", "passphrase"},
		pattern: `((?i:\b(?:api|access|auth|secret|private|bearer)[ -](?:key|token)|\b(?:token|password|secret|passphrase))(?i:\s+(?:provided|given|supplied|was|is|of))?[:=]?\s+)["'` + "`" + `]?[A-Za-z0-9_\-./+=!@#$%^*~]{6,}["'` + "`" + `]?`,
		keep:    "${1}" + Mark, is: isSaid},
	{hints: []string{"identified", "password"}, pattern: `((?i:\bidentified\s+by(?:\s+password)?|\bpassword)\s+)(?:'[^']*'|"[^"]*")`, keep: "${1}" + Mark}, // SQL
}

// shape is a kind that is known by itself, wherever it stands between other words.
func shape(pattern string, hints ...string) *kind {
	return &kind{hints: hints, pattern: `\b(?:` + pattern + `)`}
}

// isScheme tells credentials after the word Bearer or Basic from prose like "basic authentication".
func isScheme(match string) bool {
	fields := strings.Fields(match)
	return isRandom(fields[len(fields)-1])
}

// isRandom tells what looks like a key from words of a language: a digit, a sign of base64, or capitals within.
func isRandom(s string) bool {
	if strings.ContainsAny(s, "0123456789+/=_~") {
		return true
	}
	rest := strings.TrimRight(s, ".")
	if len(rest) < 2 {
		return false
	}
	rest = rest[1:]
	return strings.ToLower(rest) != rest && strings.ToUpper(rest) != rest || strings.ContainsRune(strings.Trim(rest, ".-"), '.')
}

// isQuerySecret tells keys from the plain words that parameters like key, code and session have as often.
func isQuerySecret(match string) bool {
	name, value, _ := strings.Cut(match, "=")
	switch strings.ToLower(strings.Trim(name, "?&;")) {
	case "code", "key", "session", "auth":
		return len(value) >= 16 && isRandom(value) || len(value) >= 32
	case "pass", "sid":
		return len(value) >= 6
	}
	return len(value) >= 8
}

// isSaid tells a secret that an error quotes from the sentence about it: it is in quotes, or has a digit in it.
func isSaid(match string) bool {
	fields := strings.Fields(match)
	last := fields[len(fields)-1]
	quoted := len(last) > 2 && strings.ContainsRune("\"'`", rune(last[0])) && last[0] == last[len(last)-1]
	if strings.HasPrefix(last, "/") || strings.HasPrefix(last, "./") || strings.Contains(last, Mark) {
		return false
	}
	return quoted || strings.ContainsAny(last, "0123456789") && strings.Trim(last, "0123456789.%-") != ""
}
