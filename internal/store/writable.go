package store

import "context"

// Writable tells, by an error, that nothing can be stored at the moment: the file cannot be written to or is locked for long.
// A disk that is full is found out only by the next request.
func (s *Store) Writable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.change(func(c *conn) error {
		return c.transaction(func() error {
			_, _, err := c.exec("UPDATE run SET name = name WHERE false")
			return err
		})
	})
	if err != nil {
		return explain("write to the store", err)
	}
	return nil
}
