package store

// AwaitBehind returns when the job behind has nothing to do any more.
func AwaitBehind(s *Store) { s.behind.Wait() }
