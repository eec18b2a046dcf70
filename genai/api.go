package genai

import "strings"

// API is a kind of LLM request, told by method and path alone.
type API uint8

// The APIs that are observed. Their paths are matched at the end, so that prefixes of gateways and deployments do not matter.
const (
	APIUnknown         API = iota // not a request to a model that is observed
	APIChat                       // OpenAI: POST …/chat/completions
	APICompletions                // OpenAI: POST …/completions
	APIResponses                  // OpenAI: POST …/responses
	APIEmbeddings                 // OpenAI: POST …/embeddings
	APIMessages                   // Anthropic: POST …/messages
	APILlamaCompletion            // llama.cpp: POST …/completion
	APIOllamaChat                 // Ollama: POST …/api/chat
	APIOllamaGenerate             // Ollama: POST …/api/generate
	APIOllamaEmbed                // Ollama: POST …/api/embed and …/api/embeddings
)

var apis = [...]struct{ name, operation, provider string }{
	APIUnknown:         {"unknown", "", ""},
	APIChat:            {"chat", OperationChat, "openai"},
	APICompletions:     {"completions", OperationTextCompletion, "openai"},
	APIResponses:       {"responses", OperationChat, "openai"},
	APIEmbeddings:      {"embeddings", OperationEmbeddings, "openai"},
	APIMessages:        {"messages", OperationChat, "anthropic"},
	APILlamaCompletion: {"llama.cpp completion", OperationTextCompletion, "llama.cpp"},
	APIOllamaChat:      {"ollama chat", OperationChat, "ollama"},
	APIOllamaGenerate:  {"ollama generate", OperationTextCompletion, "ollama"},
	APIOllamaEmbed:     {"ollama embed", OperationEmbeddings, "ollama"},
}

// paths are tried in order: a longer ending comes before a shorter one that it contains.
var paths = [...]struct {
	ending string
	api    API
}{
	{"/chat/completions", APIChat},
	{"/completions", APICompletions},
	{"/completion", APILlamaCompletion},
	{"/api/chat", APIOllamaChat},
	{"/api/generate", APIOllamaGenerate},
	{"/api/embed", APIOllamaEmbed},
	{"/api/embeddings", APIOllamaEmbed},
	{"/embeddings", APIEmbeddings},
	{"/responses", APIResponses},
	{"/messages", APIMessages},
}

// DetectAPI returns the API that a request belongs to, by its method and its URL's path (without query). Anything that is not
// a request to a model (lists of models, health checks, token counts) is [APIUnknown].
func DetectAPI(method, path string) API {
	if method != "POST" {
		return APIUnknown
	}
	path = strings.TrimSuffix(path, "/")
	for _, p := range paths {
		if strings.HasSuffix(path, p.ending) {
			return p.api
		}
	}
	return APIUnknown
}

// Operation returns the gen_ai.operation.name of a's requests: chat, text_completion or embeddings, or "" for [APIUnknown].
func (a API) Operation() string {
	if int(a) >= len(apis) {
		return ""
	}
	return apis[a].operation
}

// String returns the API's name for people, such as "ollama chat".
func (a API) String() string {
	if int(a) >= len(apis) {
		return apis[APIUnknown].name
	}
	return apis[a].name
}
