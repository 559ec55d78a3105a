/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/former_workers.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "core/process.h"
#include "kern/proc.h"
#include "kern/steer_former.h"
#include "service/generation.h"

static int former_workers_compare(const void *a, const void *b)
{
	const struct rpd_former *x = &((const struct former_worker *)a)->row;
	const struct rpd_former *y = &((const struct former_worker *)b)->row;

	if (x->slot != y->slot)
		return x->slot - y->slot;
	if (x->start_time != y->start_time)
		return x->start_time < y->start_time ? -1 : 1;
	return (x->pid > y->pid) - (x->pid < y->pid);
}

/* Rows may be left of workers that have ended since their supervisor died. */
static bool former_workers_lives(const struct rpd_former *row)
{
	_cleanup_close_ int fd = proc_open_pidfd((struct process_id){row->pid, row->start_time});

	return fd >= 0;
}

int former_workers_list(const struct service *service, struct former_worker **ret, size_t *ret_n)
{
	_cleanup_free_ struct former_worker *list = NULL;
	size_t n = 0, room = 0;
	uint32_t number, next;
	int r = steer_former_next(&service->steer, NULL, &number);

	for (size_t i = 0; r == 0 && i < RPD_FORMER_MAX; i++, number = next) {
		struct rpd_former row;

		if (steer_former_get(&service->steer, number, &row) == 0 &&
		    former_workers_lives(&row)) {
			if (n == room) {
				void *more;

				room = room ? 2 * room : 16;
				more = reallocarray(list, room, sizeof(*list));
				if (!more)
					return -ENOMEM;
				list = more;
			}
			list[n] = (struct former_worker){.row = row};
			list[n].counted =
			        generation_open_connections(service, row.account, &list[n].open);
			n++;
		}
		r = steer_former_next(&service->steer, &number, &next);
	}
	if (n)
		qsort(list, n, sizeof(*list), former_workers_compare);
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}
