/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Works on one array of members, a member being a listener with its owner, and sorts it three
 * times:
 *   1. by endpoint: a run of equal endpoints is a group;
 *   2. by owner, group, descriptor: the position in a run of equal owner and group is the ordinal;
 *   3. by owner, ordinal, group: a run of equal owner and ordinal is a worker.
 */
#include "core/roster.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/endpoint.h"

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

struct member {
	const struct listener *listener;
	const struct holder *owner; /* NULL = no process has the listener open */
	size_t group;
	size_t ordinal;
};

/* Whether no other process with the same evidence is a child of @row. */
static bool roster_is_leaf(const struct holder *row, const struct holder *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].ppid == row->id.pid && rows[i].evidence == row->evidence)
			return false;
	return true;
}

const struct holder *roster_find_owner(const struct holder *rows, size_t n)
{
	const struct holder *best = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct holder *row = &rows[i];
		int r = best ? COMPARE(row->evidence, best->evidence) : 1;

		if (!r)
			r = roster_is_leaf(row, rows, n) - roster_is_leaf(best, rows, n);
		if (!r)
			r = COMPARE(best->id.start_time, row->id.start_time);
		if (!r)
			r = COMPARE(best->id.pid, row->id.pid);
		if (r > 0)
			best = row;
	}
	return best;
}

unsigned int roster_count_pollers(const struct holder *rows, size_t n)
{
	const struct holder *owner = roster_find_owner(rows, n);
	unsigned int pollers = 0;

	for (size_t i = 0; i < n; i++)
		if (rows[i].evidence == owner->evidence &&
		    (owner->evidence > EVIDENCE_HOLDS || roster_is_leaf(&rows[i], rows, n)))
			pollers++;
	return pollers;
}

int roster_compare_holders(const void *a, const void *b)
{
	const struct holder *x = a, *y = b;
	int r = COMPARE(x->inode, y->inode);

	return r ? r : COMPARE(x->id.pid, y->id.pid);
}

/* A sorted copy of @holders, so that the holders of one listener are neighbours. */
static struct holder *roster_sort_holders(const struct holder *holders, size_t n)
{
	struct holder *rows = calloc(n + 1, sizeof(*rows));

	if (rows && n) {
		memcpy(rows, holders, n * sizeof(*rows));
		qsort(rows, n, sizeof(*rows), roster_compare_holders);
	}
	return rows;
}

const struct holder *roster_find_holders(const struct holder *rows, size_t n, uint32_t inode,
                                         size_t *ret_n)
{
	const struct holder *end;

	*ret_n = 0;
	if (n == 0) /* @rows may be NULL */
		return rows;
	end = rows + n;
	while (n > 0) {
		const size_t half = n / 2;

		if (rows[half].inode < inode) {
			rows += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	while (rows + *ret_n < end && rows[*ret_n].inode == inode)
		(*ret_n)++;
	return rows;
}

static int roster_compare_by_endpoint(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	return endpoint_compare(&x->listener->endpoint, &y->listener->endpoint);
}

/* By owner, group and descriptor; members without an owner come last. */
static int roster_compare_by_owner(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	int r = COMPARE(!x->owner, !y->owner);

	if (r || !x->owner)
		return r;
	r = COMPARE(x->owner->id.pid, y->owner->id.pid);
	if (!r)
		r = COMPARE(x->group, y->group);
	if (!r)
		r = COMPARE(x->owner->fd, y->owner->fd);
	return r;
}

static int roster_compare_by_worker(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	int r = COMPARE(x->owner->id.pid, y->owner->id.pid);

	if (!r)
		r = COMPARE(x->ordinal, y->ordinal);
	if (!r)
		r = COMPARE(x->group, y->group);
	return r;
}

static int roster_compare_workers(const void *a, const void *b)
{
	const struct holder *x = &((const struct roster_worker *)a)->owner;
	const struct holder *y = &((const struct roster_worker *)b)->owner;
	int r = COMPARE(x->id.start_time, y->id.start_time);

	if (!r)
		r = COMPARE(x->fd, y->fd);
	if (!r)
		r = COMPARE(x->id.pid, y->id.pid);
	return r;
}

/* Finds the groups, and the owner of each member. */
static int roster_find_groups(struct roster *r, struct member *members, size_t n,
                              const struct holder *rows, size_t n_rows)
{
	r->groups = calloc(n + 1, sizeof(*r->groups));
	if (!r->groups)
		return -ENOMEM;

	qsort(members, n, sizeof(*members), roster_compare_by_endpoint);
	for (struct member *m = members; m < members + n; m++) {
		size_t n_held;
		const struct holder *held =
		        roster_find_holders(rows, n_rows, m->listener->inode, &n_held);
		const unsigned int pollers = roster_count_pollers(held, n_held);
		struct roster_group *g;

		if (m == members || roster_compare_by_endpoint(m - 1, m))
			r->groups[r->n_groups++].endpoint = m->listener->endpoint;
		m->group = r->n_groups - 1;
		m->owner = roster_find_owner(held, n_held);

		g = &r->groups[m->group];
		g->n_listeners++;
		g->n_unowned += !m->owner;
		if (g->n_pollers < pollers)
			g->n_pollers = pollers;
	}
	return 0;
}

/* Numbers the members of each owner within each group. Returns how many members have an owner;
 * these come first afterwards. */
static size_t roster_number_members(struct member *members, size_t n)
{
	size_t owned = 0;

	qsort(members, n, sizeof(*members), roster_compare_by_owner);
	for (; owned < n && members[owned].owner; owned++) {
		struct member *m = &members[owned];
		const bool follows = owned > 0 && m[-1].owner->id.pid == m->owner->id.pid &&
		                     m[-1].group == m->group;

		m->ordinal = follows ? m[-1].ordinal + 1 : 0;
	}
	return owned;
}

/* Makes workers of the members that have an owner. */
static int roster_join_workers(struct roster *r, struct member *members, size_t n,
                               const struct listener *listeners)
{
	r->workers = calloc(n + 1, sizeof(*r->workers));
	r->matrix = calloc(n * r->n_groups + 1, sizeof(*r->matrix));
	if (!r->workers || !r->matrix)
		return -ENOMEM;

	qsort(members, n, sizeof(*members), roster_compare_by_worker);
	for (const struct member *m = members; m < members + n; m++) {
		struct roster_worker *w;

		if (m == members || m[-1].owner->id.pid != m->owner->id.pid ||
		    m[-1].ordinal != m->ordinal) {
			w = &r->workers[r->n_workers];
			w->owner = *m->owner;
			w->listeners = r->matrix + r->n_workers++ * r->n_groups;
			for (size_t g = 0; g < r->n_groups; g++)
				w->listeners[g] = -1;
		}
		w = &r->workers[r->n_workers - 1];
		w->listeners[m->group] = (int32_t)(m->listener - listeners);
	}
	qsort(r->workers, r->n_workers, sizeof(*r->workers), roster_compare_workers);
	return 0;
}

int roster_build(const struct listener *listeners, size_t n_listeners, const struct holder *holders,
                 size_t n_holders, struct roster *ret)
{
	_cleanup_free_ struct member *members = calloc(n_listeners + 1, sizeof(*members));
	_cleanup_free_ struct holder *rows = roster_sort_holders(holders, n_holders);
	_cleanup_(roster_free) struct roster r = {0};

	if (!members || !rows)
		return -ENOMEM;
	for (size_t i = 0; i < n_listeners; i++)
		members[i].listener = &listeners[i];

	if (roster_find_groups(&r, members, n_listeners, rows, n_holders) < 0 ||
	    roster_join_workers(&r, members, roster_number_members(members, n_listeners),
	                        listeners) < 0)
		return -ENOMEM;
	*ret = r;
	r = (struct roster){0};
	return 0;
}

void roster_free(struct roster *r)
{
	free(r->groups);
	free(r->workers);
	free(r->matrix);
	*r = (struct roster){0};
}
