package store

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"forkspan.dev/forkspan/internal/redact"
)

// Target is a backend that requests are forwarded to. It holds no secrets.
type Target struct {
	Protocol string   // grpc, http/protobuf or http/json
	Address  string   // without user, password and query
	Needs    []string // what sending there takes beside the address: "header api-key", "client certificate"
	Identity string   // tells apart who sends there, by the values of Needs, which it does not hold; empty where nobody says who
}

// Key is the same for targets that are the same.
func (t Target) Key() string { return t.Protocol + " " + t.Address + " " + t.Identity }

// Begun is a request of which the first spans, in the order in which they go out, have been settled. The zero value is none.
type Begun struct{ Request, Spans int64 }

// Route is the way of one run's requests to one target. All of them up to Position have been settled: sent, or kept as dead
// letters; and those in Ahead; and some spans of the one in Begun.
type Route struct {
	ID       int64
	Target   Target
	Run      string // "" for the requests without a run
	Position int64
	Ahead    []int64 // ascending
	Begun    Begun
	Options  string // as the forwarder wrote them
	// Finishing tells that at the run's end more goes out than requests, and has not yet.
	Finishing bool
	Sent      int64  // spans that the target has taken
	Rejected  int64  // spans that it turned down when it took the others
	Removed   int64  // requests that were removed from the store before they were sent
	Error     string // the last one; empty after a success
	Failed    time.Time
}

// DeadLetter is a request, or a part of one, that a target has refused for good.
type DeadLetter struct {
	ID     int64
	Route  int64
	Spans  int64
	Reason string
	Access bool // refused for who sent it, not for what it is: with other credentials it may be taken
	Time   time.Time
	Body   []byte // protobuf of an ExportTraceServiceRequest
}

// Settlement is what has become of some requests of a route since the last one.
type Settlement struct {
	Position int64
	Ahead    []int64
	Begun    Begun
	Sent     int64 // more
	Rejected int64 // more
	Error    string
	Options  string       // new ones; empty for those of before
	Finished bool         // see Route.Finishing
	Dead     []DeadLetter // new ones, which get their IDs; those with an ID are replaced
	Revived  []int64      // ids of dead letters that are none any more
}

const routeColumns = `r.id, t.protocol, t.address, t.needs, r.run, r.position, r.ahead, r.options, r.sent, r.rejected,
	r.removed, r.error, r.failed, t.identity, r.begun, r.begun_spans, r.finishing`

const routeTables = " FROM forward_route AS r JOIN forward_target AS t ON t.id = r.target "

func scanRoute(v []driver.Value) (Route, error) {
	var r Route
	r.ID, _ = v[0].(int64)
	r.Target.Protocol, _ = v[1].(string)
	r.Target.Address, _ = v[2].(string)
	needs, _ := v[3].(string)
	r.Run, _ = v[4].(string)
	r.Position, _ = v[5].(int64)
	ahead, _ := v[6].(string)
	r.Options, _ = v[7].(string)
	r.Sent, _ = v[8].(int64)
	r.Rejected, _ = v[9].(int64)
	r.Removed, _ = v[10].(int64)
	r.Error, _ = v[11].(string)
	failed, _ := v[12].(int64)
	r.Failed = fromUnixNano(failed)
	r.Target.Identity, _ = v[13].(string)
	r.Begun.Request, _ = v[14].(int64)
	r.Begun.Spans, _ = v[15].(int64)
	finishing, _ := v[16].(int64)
	r.Finishing = finishing != 0
	if err := json.Unmarshal([]byte(needs), &r.Target.Needs); err != nil {
		return r, fmt.Errorf("read target %s: %w", r.Target.Address, err)
	}
	if err := json.Unmarshal([]byte(ahead), &r.Ahead); err != nil {
		return r, fmt.Errorf("read route %d: %w", r.ID, err)
	}
	return r, nil
}

// list is the stored form of a list; never null.
func list[T any](items []T) string {
	if len(items) == 0 {
		return "[]"
	}
	b, _ := json.Marshal(items) // numbers and strings only
	return string(b)
}

// PutRoute returns the route of a run to a target, which it begins where there is none: with the run's first request, or for
// the requests without a run with those that come from now on. What the target needs, the route's options and whether it is
// finishing are replaced.
func (s *Store) PutRoute(ctx context.Context, run string, target Target, options string, finishing bool) (route Route, err error) {
	if err := ctx.Err(); err != nil {
		return route, fmt.Errorf("store route: %w", err)
	}
	err = s.change(func(c *conn) error {
		return c.transaction(func() error {
			const putTarget = `INSERT INTO forward_target (protocol, address, identity, needs) VALUES (?, ?, ?, ?)
				ON CONFLICT (protocol, address, identity) DO UPDATE SET needs = excluded.needs`
			if _, _, err := c.exec(putTarget, target.Protocol, target.Address, target.Identity, list(target.Needs)); err != nil {
				return err
			}
			const putRoute = `INSERT INTO forward_route (target, run, position, options, finishing)
				SELECT id, ?1, iif(?1 = '', (SELECT coalesce(max(id), 0) FROM request), 0), ?2, ?6 FROM forward_target
				WHERE protocol = ?3 AND address = ?4 AND identity = ?5
				ON CONFLICT (target, run) DO UPDATE SET options = excluded.options, finishing = excluded.finishing`
			if _, _, err := c.exec(putRoute, run, options, target.Protocol, target.Address, target.Identity, finishing); err != nil {
				return err
			}
			const query = "SELECT " + routeColumns + routeTables +
				"WHERE r.run = ? AND t.protocol = ? AND t.address = ? AND t.identity = ?"
			return c.query(query, func(columns []driver.Value) (err error) {
				route, err = scanRoute(columns)
				return err
			}, run, target.Protocol, target.Address, target.Identity)
		})
	})
	if err != nil {
		return route, explain("store route", err)
	}
	return route, nil
}

// DropRoute forgets a route on which nothing was sent, and does nothing to others.
func (s *Store) DropRoute(ctx context.Context, id int64) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("drop route: %w", err)
	}
	err := s.change(func(c *conn) error {
		_, _, err := c.exec("DELETE FROM forward_route WHERE id = ? AND sent = 0 AND removed = 0", id)
		return err
	})
	if err != nil {
		return explain("drop route", err)
	}
	return nil
}

// Routes returns all routes, the oldest first.
func (s *Store) Routes(ctx context.Context) ([]Route, error) {
	return s.routes(ctx, "")
}

// Route returns a route as it is now; ErrNotFound when its run was removed.
func (s *Store) Route(ctx context.Context, id int64) (Route, error) {
	routes, err := s.routes(ctx, "WHERE r.id = ?", id)
	if err != nil || len(routes) > 0 {
		return append(routes, Route{})[0], err
	}
	return Route{}, fmt.Errorf("route %d: %w", id, ErrNotFound)
}

// WaitingRoutes returns the routes of which requests wait, or dead letters that other credentials may revive, or what goes out at
// the end, the oldest first.
func (s *Store) WaitingRoutes(ctx context.Context) ([]Route, error) {
	return s.routes(ctx, `WHERE r.finishing OR EXISTS (SELECT 1 FROM request WHERE request.run = r.run AND request.id > r.position AND `+wanted+`)
		OR EXISTS (SELECT 1 FROM forward_dead WHERE route = r.id AND access)`)
}

func (s *Store) routes(ctx context.Context, where string, args ...any) (routes []Route, err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read routes: %w", err)
	}
	err = s.change(func(c *conn) error { // few rows: no connection is opened for them
		return c.query("SELECT "+routeColumns+routeTables+where+" ORDER BY r.id", func(columns []driver.Value) error {
			r, err := scanRoute(columns)
			routes = append(routes, r)
			return err
		}, args...)
	})
	if err != nil {
		return nil, explain("read routes", err)
	}
	return routes, nil
}

// Settle writes down in one transaction what has become of requests of a route. Who calls it holds the route's lock.
func (s *Store) Settle(ctx context.Context, route int64, done *Settlement) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store what was forwarded: %w", err)
	}
	now := time.Now().UnixNano()
	ids := make([]int64, len(done.Dead))
	err := s.change(func(c *conn) error {
		return c.transaction(func() error {
			const update = `UPDATE forward_route SET position = max(position, ?), ahead = ?, sent = sent + ?,
				rejected = rejected + ?, error = ?5, failed = iif(?5 = '', failed, ?6), begun = ?8, begun_spans = ?9,
				options = iif(?10 = '', options, ?10), finishing = finishing AND NOT ?11 WHERE id = ?7`
			changed, _, err := c.exec(update, done.Position, list(done.Ahead), done.Sent, done.Rejected,
				redact.String(done.Error), now, route, done.Begun.Request, done.Begun.Spans, done.Options, done.Finished)
			if err != nil || changed == 0 { // its run was removed
				return err
			}
			for _, id := range done.Revived {
				if _, _, err := c.exec("DELETE FROM forward_dead WHERE id = ?", id); err != nil {
					return err
				}
			}
			for i := range done.Dead {
				d := &done.Dead[i]
				var id any // a new one
				if d.ID != 0 {
					id = d.ID
				}
				const put = `INSERT OR REPLACE INTO forward_dead (id, route, spans, reason, access, time, body)
					VALUES (?, ?, ?, ?, ?, ?, ?)`
				body := encoder().EncodeAll(d.Body, nil)
				if _, ids[i], err = c.exec(put, id, route, d.Spans, redact.String(d.Reason), d.Access, now, body); err != nil {
					return err
				}
			}
			if len(done.Dead) == 0 {
				return nil
			}
			return s.boundDead(c)
		})
	})
	if err != nil {
		return explain("store what was forwarded", err)
	}
	for i, id := range ids { // only now: what was rolled back has none
		done.Dead[i].ID = max(id, done.Dead[i].ID)
	}
	return nil
}

// deadShare is the part of the size cap that dead letters may take. Mostly their spans are in the store a second time.
const deadShare = 8

// boundDead removes the oldest dead letters where there are too many; their route counts them as removed requests.
func (s *Store) boundDead(c *conn) error {
	for {
		size, err := c.integer("SELECT sum(length(body)) FROM forward_dead")
		if err != nil || size <= s.opts.MaxBytes/deadShare {
			return err
		}
		const count = `UPDATE forward_route SET removed = removed + 1
			WHERE id = (SELECT route FROM forward_dead ORDER BY id LIMIT 1)`
		if _, _, err := c.exec(count); err != nil {
			return err
		}
		if _, _, err := c.exec("DELETE FROM forward_dead WHERE id = (SELECT min(id) FROM forward_dead)"); err != nil {
			return err
		}
	}
}

// UnsentOf counts the spans of a run that have not been sent, by the address of the target; nil when there are none.
func (s *Store) UnsentOf(ctx context.Context, run string) (unsent map[string]int64, err error) {
	routes, err := s.routes(ctx, "WHERE r.run = ?", run)
	for _, r := range routes {
		_, spans, err := s.Unsent(ctx, r)
		if err != nil {
			return nil, err
		}
		if spans > 0 {
			if unsent == nil {
				unsent = make(map[string]int64)
			}
			unsent[r.Target.Address] += spans
		}
	}
	return unsent, err
}

// DeadLetters returns the dead letters of a route, the oldest first, after the one with id after: as many as have about
// 4 MiB, with their bodies; route 0 is all routes, all letters, and no bodies.
func (s *Store) DeadLetters(ctx context.Context, route, after int64) (letters []DeadLetter, err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	query := "SELECT id, route, spans, reason, access, time, body FROM forward_dead WHERE route = ?1 AND id > ?2 ORDER BY id"
	if route == 0 {
		query = "SELECT id, route, spans, reason, access, time, NULL FROM forward_dead WHERE ?1 = 0 AND id > ?2 ORDER BY id"
	}
	size := 0
	err = s.read(func(c *conn) error {
		return c.query(query, func(v []driver.Value) error {
			var d DeadLetter
			d.ID, _ = v[0].(int64)
			d.Route, _ = v[1].(int64)
			d.Spans, _ = v[2].(int64)
			d.Reason, _ = v[3].(string)
			access, _ := v[4].(int64)
			d.Access = access != 0
			at, _ := v[5].(int64)
			d.Time = fromUnixNano(at)
			if compressed, _ := v[6].([]byte); len(compressed) > 0 {
				var err error
				if d.Body, err = decoder().DecodeAll(compressed, nil); err != nil {
					return fmt.Errorf("read dead letter %d: %w: %w", d.ID, errDamaged, err)
				}
			}
			letters = append(letters, d)
			if size += len(d.Body); size >= pageBytes {
				return errStop
			}
			return nil
		}, route, after)
	})
	if err != nil {
		return nil, explain("read dead letters", err)
	}
	return letters, nil
}

// maxUnsent bounds how many requests Unsent looks at.
const maxUnsent = 1 << 14

// Unsent counts the requests of a route that are not settled, and their spans, of which those that have only begun do not
// count. Of more than 16,384 requests the rest is estimated.
func (s *Store) Unsent(ctx context.Context, r Route) (requests, spans int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, fmt.Errorf("count what waits: %w", err)
	}
	ahead := make(map[int64]bool, len(r.Ahead))
	for _, id := range r.Ahead {
		ahead[id] = true
	}
	const of = " FROM forward_route AS r JOIN request ON request.run = r.run WHERE r.id = ? AND request.id > ? AND " + wanted
	const query = "SELECT request.id, request.summary" + of + " ORDER BY request.id LIMIT ?"
	var seen int64
	err = s.change(func(c *conn) error { // mostly few rows: no connection is opened for them
		err := c.query(query, func(columns []driver.Value) error {
			id, _ := columns[0].(int64)
			b, _ := columns[1].([]byte)
			seen++
			if ahead[id] {
				return nil
			}
			sum, err := decodeSummary(b)
			if err != nil {
				return err
			}
			requests++
			for i := range sum.Traces {
				if sum.Traces[i].End != 0 {
					spans += int64(sum.Traces[i].Spans)
				}
			}
			if id == r.Begun.Request {
				spans = max(0, spans-r.Begun.Spans)
			}
			return nil
		}, r.ID, r.Position, int64(maxUnsent))
		if err != nil || seen < maxUnsent {
			return err
		}
		all, err := c.integer("SELECT count(*)"+of, r.ID, r.Position)
		spans = int64(math.Round(float64(spans) * float64(all) / float64(seen)))
		requests += all - seen
		return err
	})
	if err != nil {
		return 0, 0, explain("count what waits", err)
	}
	return requests, spans, nil
}

// Back returns an id after which there are no more than n requests of a run up to the one with id last, and n where there are as
// many.
func (s *Store) Back(ctx context.Context, run string, last int64, n int) (after int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("read requests: %w", err)
	}
	err = s.read(func(c *conn) (err error) {
		const query = "SELECT min(id) FROM (SELECT id FROM request WHERE run = ? AND id <= ? ORDER BY id DESC LIMIT ?)"
		after, err = c.integer(query, run, last, int64(n))
		return err
	})
	if err != nil {
		return 0, explain("read requests", err)
	}
	return max(0, after-1), nil
}

// removedUnsent counts the requests that were removed before they were sent.
func (s *Store) removedUnsent() (requests int64, err error) {
	err = s.change(func(c *conn) (err error) {
		requests, err = c.integer("SELECT sum(removed) FROM forward_route")
		return err
	})
	return requests, err
}
