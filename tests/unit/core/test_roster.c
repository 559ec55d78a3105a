/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "bed/seed.h"
#include "bed/unit.h"
#include "core/endpoint.h"
#include "core/roster.h"

#define V4(i)                                                                                      \
	{                                                                                          \
		.endpoint = {.family = AF_INET, .port = 80}, .inode = (i)                          \
	}
#define V6(i)                                                                                      \
	{                                                                                          \
		.endpoint = {.family = AF_INET6, .port = 80}, .inode = (i)                         \
	}
#define V4_UID(i)                                                                                  \
	{                                                                                          \
		.endpoint = {.family = AF_INET, .port = 80, .uid = 33}, .inode = (i)               \
	}

/* inode, pid, its parent, fd, its age rank, and how it is known */
#define ROW(i, p, pp, f, s, e)                                                                     \
	{                                                                                          \
		.inode = (i), .id = {(p), (s)}, .ppid = (pp), .fd = (f), .epfd = -1,               \
		.evidence = EVIDENCE_##e                                                           \
	}

struct scene {
	const char *name;
	struct listener listeners[9]; /* up to inode 0 */
	struct holder holders[17];    /* up to inode 0 */
	struct {
		size_t n_listeners;
		size_t n_unowned;
		unsigned int n_pollers;
	} groups[4]; /* what is expected, up to n_listeners 0 */
	struct {
		uint32_t pid;
		uint32_t inodes[3]; /* of its listener in each group, 0 = none */
	} workers[9];               /* up to pid 0 */
};

static const struct scene scenes[] = {
        {.name = "nothing listens"},
        {
                .name = "one process for each listener",
                .listeners = {V4(10), V4(11)},
                .holders = {ROW(10, 200, 1, 3, 50, EPOLL), ROW(11, 100, 1, 3, 60, EPOLL)},
                .groups = {{2, 0, 1}},
                .workers = {{200, {10}}, {100, {11}}},
        },
        {
                /* nginx: master and workers have every listener open, each worker polls one. */
                .name = "pre-fork, all descriptors everywhere",
                .listeners = {V4(10), V4(11), V4(12)},
                .holders =
                        {
                                ROW(10, 100, 1, 6, 50, HOLDS),
                                ROW(11, 100, 1, 7, 50, HOLDS),
                                ROW(12, 100, 1, 8, 50, HOLDS),
                                ROW(10, 101, 100, 6, 51, EPOLL),
                                ROW(11, 101, 100, 7, 51, HOLDS),
                                ROW(12, 101, 100, 8, 51, HOLDS),
                                ROW(10, 102, 100, 6, 51, HOLDS),
                                ROW(11, 102, 100, 7, 51, HOLDS),
                                ROW(12, 102, 100, 8, 51, EPOLL),
                                ROW(10, 103, 100, 6, 51, HOLDS),
                                ROW(11, 103, 100, 7, 51, EPOLL),
                                ROW(12, 103, 100, 8, 51, HOLDS),
                        },
                .groups = {{3, 0, 1}},
                .workers = {{101, {10}}, {103, {11}}, {102, {12}}},
        },
        {
                .name = "threads of one process, IPv4 and IPv6",
                .listeners = {V6(23), V4(10), V6(20), V4(11), V6(22), V4(12), V4(13), V6(21)},
                .holders =
                        {
                                ROW(10, 100, 1, 5, 50, EPOLL),
                                ROW(11, 100, 1, 6, 50, EPOLL),
                                ROW(12, 100, 1, 7, 50, EPOLL),
                                ROW(13, 100, 1, 8, 50, EPOLL),
                                ROW(20, 100, 1, 9, 50, EPOLL),
                                ROW(21, 100, 1, 10, 50, EPOLL),
                                ROW(22, 100, 1, 11, 50, EPOLL),
                                ROW(23, 100, 1, 12, 50, EPOLL),
                        },
                .groups = {{4, 0, 1}, {4, 0, 1}},
                .workers = {{100, {10, 20}}, {100, {11, 21}}, {100, {12, 22}}, {100, {13, 23}}},
        },
        {
                /* gunicorn: a master for each listener, with one worker that select()s on it. */
                .name = "parent and leaf without epoll",
                .listeners = {V4(10), V4(11)},
                .holders = {ROW(10, 100, 1, 5, 50, HOLDS), ROW(10, 101, 100, 5, 52, HOLDS),
                            ROW(11, 200, 1, 5, 51, HOLDS), ROW(11, 201, 200, 5, 53, HOLDS)},
                .groups = {{2, 0, 1}},
                .workers = {{101, {10}}, {201, {11}}},
        },
        {
                .name = "accept() outweighs the leaf",
                .listeners = {V4(10)},
                .holders = {ROW(10, 100, 1, 5, 50, ACCEPTS), ROW(10, 101, 100, 5, 52, HOLDS)},
                .groups = {{1, 0, 1}},
                .workers = {{100, {10}}},
        },
        {
                .name = "epoll outweighs accept()",
                .listeners = {V4(10)},
                .holders = {ROW(10, 100, 1, 5, 50, EPOLL), ROW(10, 101, 100, 5, 52, ACCEPTS)},
                .groups = {{1, 0, 1}},
                .workers = {{100, {10}}},
        },
        {
                .name = "a shared listener that eight poll",
                .listeners = {V4(10)},
                .holders =
                        {
                                ROW(10, 100, 1, 5, 50, HOLDS),
                                ROW(10, 108, 100, 5, 51, EPOLL),
                                ROW(10, 107, 100, 5, 51, EPOLL),
                                ROW(10, 106, 100, 5, 51, EPOLL),
                                ROW(10, 105, 100, 5, 51, EPOLL),
                                ROW(10, 104, 100, 5, 51, EPOLL),
                                ROW(10, 103, 100, 5, 51, EPOLL),
                                ROW(10, 102, 100, 5, 51, EPOLL),
                                ROW(10, 101, 100, 5, 51, EPOLL),
                        },
                .groups = {{1, 0, 8}},
                .workers = {{101, {10}}},
        },
        {
                .name = "a shared listener that three leaves hold",
                .listeners = {V4(10)},
                .holders = {ROW(10, 100, 1, 5, 50, HOLDS), ROW(10, 101, 100, 5, 52, HOLDS),
                            ROW(10, 102, 100, 5, 51, HOLDS), ROW(10, 103, 100, 5, 53, HOLDS)},
                .groups = {{1, 0, 3}},
                .workers = {{102, {10}}},
        },
        {
                .name = "IPv4 and IPv6 pair by process",
                .listeners = {V6(20), V6(21), V4(10), V4(11)},
                .holders = {ROW(10, 100, 1, 5, 50, EPOLL), ROW(11, 101, 1, 5, 51, EPOLL),
                            ROW(20, 101, 1, 6, 51, EPOLL), ROW(21, 100, 1, 6, 50, EPOLL)},
                .groups = {{2, 0, 1}, {2, 0, 1}},
                .workers = {{100, {10, 21}}, {101, {11, 20}}},
        },
        {
                .name = "a worker without a listener in one endpoint",
                .listeners = {V4(10), V6(20), V6(21)},
                .holders = {ROW(10, 100, 1, 5, 50, EPOLL), ROW(20, 100, 1, 6, 50, EPOLL),
                            ROW(21, 101, 1, 6, 51, EPOLL)},
                .groups = {{1, 0, 1}, {2, 0, 1}},
                .workers = {{100, {10, 20}}, {101, {0, 21}}},
        },
        {
                .name = "the owner is dead",
                .listeners = {V4(10), V4(11)},
                .holders = {ROW(11, 101, 1, 5, 51, EPOLL)},
                .groups = {{2, 1, 1}},
                .workers = {{101, {11}}},
        },
        {
                .name = "no process is left",
                .listeners = {V4(10), V4(11)},
                .groups = {{2, 2, 0}},
        },
        {
                .name = "another user's sockets are another group",
                .listeners = {V4(10), V4_UID(11)},
                .holders = {ROW(10, 100, 1, 5, 50, EPOLL), ROW(11, 101, 1, 5, 51, EPOLL)},
                .groups = {{1, 0, 1}, {1, 0, 1}},
                .workers = {{100, {10}}, {101, {0, 11}}},
        },
        {
                .name = "holders of other listeners do not matter",
                .listeners = {V4(10)},
                .holders = {ROW(9, 90, 1, 5, 10, EPOLL), ROW(10, 100, 1, 5, 50, HOLDS),
                            ROW(11, 110, 100, 5, 60, EPOLL)},
                .groups = {{1, 0, 1}},
                .workers = {{100, {10}}},
        },
};

static void check_scene(void **state)
{
	const struct scene *s = *state;
	_cleanup_(roster_free) struct roster r = {0};
	size_t n_listeners = 0, n_holders = 0, n_groups = 0, n_workers = 0;

	while (s->listeners[n_listeners].inode)
		n_listeners++;
	while (s->holders[n_holders].inode)
		n_holders++;
	while (s->groups[n_groups].n_listeners)
		n_groups++;
	while (s->workers[n_workers].pid)
		n_workers++;

	assert_int_equal(roster_build(s->listeners, n_listeners, s->holders, n_holders, &r), 0);
	assert_int_equal(r.n_groups, n_groups);
	for (size_t g = 0; g < n_groups; g++) {
		assert_int_equal(r.groups[g].n_listeners, s->groups[g].n_listeners);
		assert_int_equal(r.groups[g].n_unowned, s->groups[g].n_unowned);
		assert_int_equal(r.groups[g].n_pollers, s->groups[g].n_pollers);
	}
	assert_int_equal(r.n_workers, n_workers);
	for (size_t w = 0; w < n_workers; w++) {
		assert_int_equal(r.workers[w].owner.id.pid, s->workers[w].pid);
		for (size_t g = 0; g < n_groups; g++) {
			const int32_t i = r.workers[w].listeners[g];

			assert_int_equal(i < 0 ? 0 : s->listeners[i].inode,
			                 s->workers[w].inodes[g]);
		}
	}
}

static void socket_without_holders(void **state)
{
	size_t n = 1;

	assert_null(roster_find_owner(NULL, 0));
	assert_null(roster_find_holders(NULL, 0, 1, &n));
	assert_int_equal(n, 0);
	assert_int_equal(roster_count_pollers(NULL, 0), 0);
}

/* ---- Random worlds ---- */

#define WORLDS     500
#define WORLD_MAX  40 /* listeners */
#define WORLD_HELD 6  /* rows for one listener, at most */
#define WORLD_PIDS 9

struct world {
	struct listener listeners[WORLD_MAX];
	size_t n_listeners;
	struct holder holders[WORLD_MAX * WORLD_HELD];
	size_t n_holders;
};

static void world_make(struct world *w)
{
	const uint32_t n_groups = 1 + (uint32_t)seed_next(3);
	uint32_t parent[WORLD_PIDS];
	uint64_t born[WORLD_PIDS];

	memset(w, 0, sizeof(*w));
	for (size_t p = 0; p < WORLD_PIDS; p++) {
		parent[p] = 100 + (uint32_t)seed_next(2 * WORLD_PIDS);
		born[p] = seed_next(4); /* so that some are born in the same tick */
	}
	w->n_listeners = seed_next(WORLD_MAX + 1);
	for (uint32_t i = 0; i < w->n_listeners; i++) {
		struct listener *l = &w->listeners[i];
		uint32_t pid = (uint32_t)seed_next(WORLD_PIDS);

		l->endpoint.family = AF_INET;
		l->endpoint.addr[0] = (uint8_t)seed_next(n_groups);
		l->inode = 1000 + i;
		for (uint64_t held = seed_next(WORLD_HELD + 1); held > 0; held--) {
			struct holder *h = &w->holders[w->n_holders++];

			pid = (pid + 1) % WORLD_PIDS;
			h->inode = l->inode;
			h->id.pid = 100 + pid;
			h->ppid = parent[pid];
			h->id.start_time = born[pid];
			h->fd = (int32_t)(1000 - i);
			h->evidence = seed_next(EVIDENCE_MAX);
		}
	}
}

#define SHUFFLE(array, n)                                                                          \
	for (size_t _i = (n); _i > 1; _i--) {                                                      \
		const size_t _j = seed_next(_i);                                                   \
		__typeof__((array)[0]) _t = (array)[_i - 1];                                       \
		(array)[_i - 1] = (array)[_j];                                                     \
		(array)[_j] = _t;                                                                  \
	}

/* The owner of the socket. Its rows are adjacent in a world that is not shuffled. */
static const struct holder *world_owner(const struct world *w, uint32_t inode)
{
	size_t first = 0, n = 0;

	while (first < w->n_holders && w->holders[first].inode != inode)
		first++;
	while (first + n < w->n_holders && w->holders[first + n].inode == inode)
		n++;
	return roster_find_owner(w->holders + first, n);
}

/* The number of workers that have the listener. */
static size_t times_in(const struct roster *r, size_t listener)
{
	size_t times = 0;

	for (size_t w = 0; w < r->n_workers; w++)
		for (size_t g = 0; g < r->n_groups; g++)
			times += r->workers[w].listeners[g] == (int32_t)listener;
	return times;
}

/* Every listener that a process has open belongs to exactly one worker, the others to none. */
static void check_members(const struct world *w, const struct roster *r)
{
	size_t n_unowned = 0, n_listeners = 0;

	for (size_t i = 0; i < w->n_listeners; i++) {
		const bool held = world_owner(w, w->listeners[i].inode);

		assert_int_equal(times_in(r, i), held);
		n_unowned += !held;
	}
	for (size_t g = 0; g < r->n_groups; g++) {
		n_unowned -= r->groups[g].n_unowned;
		n_listeners += r->groups[g].n_listeners;
		assert_true(g == 0 || endpoint_compare(&r->groups[g - 1].endpoint,
		                                       &r->groups[g].endpoint) < 0);
	}
	assert_int_equal(n_unowned, 0);
	assert_int_equal(n_listeners, w->n_listeners);
}

/* All listeners of a worker are of its process, and each is of the right endpoint. */
static void check_workers(const struct world *w, const struct roster *r)
{
	for (size_t i = 0; i < r->n_workers; i++)
		for (size_t g = 0; g < r->n_groups; g++) {
			const struct roster_worker *worker = &r->workers[i];
			const struct listener *l;

			if (worker->listeners[g] < 0)
				continue;
			l = &w->listeners[worker->listeners[g]];
			assert_true(endpoint_equal(&l->endpoint, &r->groups[g].endpoint));
			assert_int_equal(world_owner(w, l->inode)->id.pid, worker->owner.id.pid);
		}
}

static int holder_order(const struct holder *a, const struct holder *b)
{
	if (a->id.start_time != b->id.start_time)
		return a->id.start_time < b->id.start_time ? -1 : 1;
	if (a->fd != b->fd)
		return a->fd < b->fd ? -1 : 1;
	return (a->id.pid > b->id.pid) - (a->id.pid < b->id.pid);
}

static void check_order(const struct roster *r)
{
	for (size_t i = 1; i < r->n_workers; i++)
		assert_true(holder_order(&r->workers[i - 1].owner, &r->workers[i].owner) < 0);
}

/* Two rosters of the same world, with the arrays in different order, are the same. */
static void check_same(const struct world *w, const struct roster *r, const struct world *w2,
                       const struct roster *r2)
{
	assert_int_equal(r->n_groups, r2->n_groups);
	assert_int_equal(r->n_workers, r2->n_workers);
	for (size_t g = 0; g < r->n_groups; g++)
		assert_memory_equal(&r->groups[g], &r2->groups[g], sizeof(r->groups[g]));
	for (size_t i = 0; i < r->n_workers; i++) {
		assert_int_equal(holder_order(&r->workers[i].owner, &r2->workers[i].owner), 0);
		for (size_t g = 0; g < r->n_groups; g++) {
			const int32_t a = r->workers[i].listeners[g];
			const int32_t b = r2->workers[i].listeners[g];

			assert_int_equal(a < 0, b < 0);
			if (a >= 0)
				assert_int_equal(w->listeners[a].inode, w2->listeners[b].inode);
		}
	}
}

static void random_worlds(void **state)
{
	static struct world w, shuffled;

	seed_start("worlds");
	for (int i = 0; i < WORLDS; i++) {
		_cleanup_(roster_free) struct roster a = {0};
		_cleanup_(roster_free) struct roster b = {0};

		world_make(&w);
		assert_int_equal(
		        roster_build(w.listeners, w.n_listeners, w.holders, w.n_holders, &a), 0);
		check_members(&w, &a);
		check_workers(&w, &a);
		check_order(&a);

		shuffled = w;
		SHUFFLE(shuffled.listeners, shuffled.n_listeners);
		SHUFFLE(shuffled.holders, shuffled.n_holders);
		assert_int_equal(roster_build(shuffled.listeners, shuffled.n_listeners,
		                              shuffled.holders, shuffled.n_holders, &b),
		                 0);
		check_same(&w, &a, &shuffled, &b);
	}
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[ARRAY_SIZE(scenes) + 2] = {
	        cmocka_unit_test(socket_without_holders),
	        cmocka_unit_test(random_worlds),
	};

	for (size_t i = 0; i < ARRAY_SIZE(scenes); i++)
		tests[2 + i] = (struct CMUnitTest){
		        .name = scenes[i].name,
		        .test_func = check_scene,
		        .initial_state = (void *)&scenes[i],
		};
	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
