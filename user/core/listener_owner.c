/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/listener_owner.h"

#include <string.h>

#include "core/roster.h"

static const struct holder *listener_owner_find_previous(const struct rpd_worker *was,
                                                         const struct holder *holders, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (process_same(holders[i].id, process_of_row(was)))
			return &holders[i];
	return NULL;
}

static const struct holder *listener_owner_find_successor(const struct rpd_worker *was,
                                                          const struct holder *holders, size_t n)
{
	const struct holder *best = NULL;

	for (size_t i = 0; i < n; i++)
		if (holders[i].id.start_time > was->start_time &&
		    (!best || holders[i].id.start_time > best->id.start_time))
			best = &holders[i];
	return best;
}

void listener_owner_note(struct rpd_worker *row, const struct holder *owner)
{
	row->pid = owner->id.pid;
	row->start_time = owner->id.start_time;
	row->fd = owner->fd;
	row->epfd = owner->epfd;
	row->evidence = owner->evidence;
	memcpy(row->comm, owner->comm, sizeof(row->comm));
}

const struct holder *listener_owner_find_current(const struct rpd_worker *was,
                                                 const struct holder *holders, size_t n)
{
	const struct holder *now = roster_find_owner(holders, n);

	if (now && now->evidence > EVIDENCE_HOLDS)
		return now;
	now = listener_owner_find_previous(was, holders, n);
	if (now || was->evidence == EVIDENCE_EPOLL)
		return now;
	return listener_owner_find_successor(was, holders, n);
}
