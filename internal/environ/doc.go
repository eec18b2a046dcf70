// Package environ builds the environment of the processes under `forkspan run`: where their spans go and which span is
// their parent. What would keep a child from reaching the run's port is taken out; everything else stays as it was.
package environ
