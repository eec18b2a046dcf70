package recovery

import (
	"os"
	"strings"
)

// BootID tells this boot of the machine from others; empty where the system does not say.
func BootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}
